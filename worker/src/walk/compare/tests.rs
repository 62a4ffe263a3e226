use super::*;
use proptest::prelude::*;
use s3gateway_s3::VersionId;

fn id(text: &str) -> BackendId {
    BackendId::parse(text).unwrap()
}

/// `etag:size@modified`, or without a time; `-`: nothing there.
fn object(text: &str) -> Option<Held> {
    let (etag, rest) = text.split_once(':')?;
    let (size, modified) = rest.split_once('@').unwrap_or((rest, "0"));
    Some(Held::Object { etag: etag.into(), size: size.parse().unwrap(), modified: modified.parse().unwrap() })
}

/// `backend=etag/home etag:size how`, several behind commas.
fn recorded(text: &str) -> Recorded {
    let one = |text: &str| {
        let (backend, rest) = text.split_once('=').unwrap();
        let (etags, rest) = rest.split_once(':').unwrap();
        let (etag, home_etag) = etags.split_once('/').unwrap_or((etags, etags));
        let (size, how) = rest.split_once(' ').unwrap_or((rest, "etag"));
        let (etag, home_etag, verified_how) = (etag.to_owned(), home_etag.to_owned(), how.to_owned());
        ObjectCopy { backend: id(backend), etag, home_etag, size: size.parse().unwrap(), verified_how, verified_at: 1 }
    };
    Recorded { copies: text.split(',').filter(|t| !t.is_empty()).map(one).collect(), versions: Vec::new() }
}

fn place(name: &str, wanted: Wanted) -> Place {
    Place { id: id(name), wanted, versions: false }
}

fn judge(home: &str, places: &[Place], held: &[&str], known: &str) -> (String, bool, bool, Vec<usize>) {
    let held: Vec<_> = held.iter().map(|text| object(text)).collect();
    let verdict = compare(&id("h"), object(home).as_ref(), places, &held, &recorded(known), |_| true);
    let found = verdict.findings.iter().map(|(kind, place, _)| format!("{} {place}", kind.as_str()));
    (found.collect::<Vec<_>>().join(", "), verdict.marks, verdict.is_delete, verdict.equal)
}

#[test]
fn every_pair_of_states_has_its_finding() {
    use Wanted::{Denied, Surplus, Yes};
    for (home, wanted, held, known, want, marks, is_delete) in [
        ("a:1", Yes, "a:1", "h=a:1,r=a:1", "", false, false),
        ("a:1", Yes, "b:1", "h=a:1,r=b/a:1 md5", "", false, false),
        ("a:1", Yes, "-", "h=a:1", "missing r", true, false),
        ("a:1", Yes, "-", "h=a:1,r=a:1", "missing r", true, false),
        ("a:1", Yes, "b:1", "h=a:1,r=a:1", "different r", true, false),
        ("a:1", Yes, "a:2", "h=a:1,r=a:1", "different r", true, false),
        ("a:1", Yes, "b:1", "h=a:1,r=b/old:1 md5", "different r", true, false),
        ("a:1", Yes, "b:1", "h=a:1,r=b/a:1 pending", "different r", true, false),
        ("a:1", Yes, "a:1", "h=a:1,r=a:1 suspect", "different r", true, false),
        ("a:1", Yes, "a:1", "h=a:1", "adopted r", true, false),
        // Listed without ETags.
        (":1", Yes, ":1", "h=a:1,r=b/a:1 md5", "", false, false),
        (":1", Yes, ":2", "h=a:1,r=b/a:1 md5", "different r", true, false),
        (":1", Yes, ":1", "h=a:1,r=b/a:1 pending", "different r", true, false),
        (":2", Surplus, "-", "h=a:1", "adopted h", true, false),
        ("a:1", Surplus, "a:1", "h=a:1,r=a:1", "extra r", true, false),
        ("a:1", Surplus, "a:1", "h=a:1", "foreign r", false, false),
        ("a:1", Surplus, "-", "h=a:1", "", false, false),
        ("a:1", Surplus, "-", "h=a:1,r=a:1", "missing r", true, false),
        ("a:1", Surplus, "b:1", "h=a:1,r=a:1", "extra r", true, false),
        ("a:1", Denied, "a:1", "h=a:1,r=a:1", "misplaced r", true, false),
        ("a:1", Denied, "a:1", "h=a:1", "misplaced r", true, false),
        ("a:1", Denied, "-", "h=a:1", "", false, false),
        // Written at the home behind the gateway's back.
        ("a:1", Yes, "-", "", "adopted h, missing r", true, false),
        ("b:1", Yes, "a:1", "h=a:1,r=a:1", "adopted h, different r", true, false),
        ("a:2", Surplus, "-", "h=a:1", "adopted h", true, false),
        // Gone from the home.
        ("-", Yes, "a:1", "h=a:1,r=a:1", "deleted h", true, true),
        ("-", Yes, "-", "h=a:1,r=a:1", "deleted h", true, true),
        ("-", Surplus, "-", "h=a:1", "deleted h", true, true),
        ("-", Denied, "a:1", "r=a:1", "deleted h", true, true),
        // Never known: written at a replica, so never deleted.
        ("-", Yes, "a:1", "", "foreign r", false, false),
        ("-", Denied, "a:1", "", "foreign r", false, false),
        ("-", Yes, "a:1", "h=a:1", "foreign r", false, false),
        ("-", Yes, "-", "", "", false, false),
    ] {
        let got = judge(home, &[place("r", wanted)], &[held], known);
        let is_equal = want.is_empty() && wanted == Yes && held != "-" || want == "extra r" && held == home;
        let equal = if is_equal { vec![0] } else { Vec::new() };
        assert_eq!(got, (want.to_owned(), marks, is_delete, equal), "{home} {wanted:?} {held} {known}");
    }
}

/// The same bytes, put again with other headers, are listed as before but for their time.
#[test]
fn a_copy_that_is_older_than_the_homes_object_is_in_doubt() {
    for (home, held, want) in [
        ("a:1@7", "a:1@8", false),
        ("a:1@8", "a:1@8", false),
        ("a:1@9", "a:1@8", true),
        (":1@9", ":1@8", true),
        // Some do not say when.
        ("a:1@9", "a:1", false),
        ("a:1", "a:1@8", false),
        // It is copied anyway.
        ("a:1@9", "b:1@8", false),
    ] {
        let places = [place("r", Wanted::Surplus), place("s", Wanted::Yes)];
        let (home, held) = (object(home), [None, object(held)]);
        let verdict = compare(&id("h"), home.as_ref(), &places, &held, &recorded("h=a:1,s=a:1"), |_| true);
        assert_eq!(verdict.older, if want { vec![1] } else { Vec::new() }, "{home:?} {held:?}");
        assert!(!want || (verdict.findings.is_empty() && verdict.equal == [1]));
    }
}

#[test]
fn one_foreign_copy_keeps_a_key_from_being_deleted_anywhere() {
    let places = [place("r", Wanted::Yes), place("s", Wanted::Surplus)];
    let got = judge("-", &places, &["a:1", "b:1"], "h=a:1,r=a:1");
    assert_eq!(got, ("foreign s".to_owned(), false, false, Vec::new()));
}

#[test]
fn what_a_place_cannot_hold_is_not_missing_there() {
    let places = [place("r", Wanted::Yes)];
    let verdict = compare(&id("h"), object("a:1").as_ref(), &places, &[None], &recorded("h=a:1"), |_| false);
    assert_eq!(verdict, Verdict::default());
}

fn version(text: &str) -> Listed {
    let is_marker = text.starts_with('m');
    let etag = if is_marker { String::new() } else { text.to_owned() };
    Listed { id: VersionId::parse(text).unwrap(), is_marker, etag, size: u64::from(!is_marker), modified: 7 }
}

fn versions(text: &str) -> Option<Held> {
    let all: Vec<Listed> = text.split_whitespace().map(version).collect();
    (!all.is_empty()).then_some(Held::Versions(all))
}

#[test]
fn versions_are_compared_as_lists() {
    let copies = |text: &str| {
        let one = |(position, text): (i64, &str)| {
            let held = version(text);
            VersionCopy {
                backend: id("r"),
                home_version: held.id.clone(),
                version: held.id,
                position,
                is_marker: held.is_marker,
                etag: held.etag.clone(),
                home_etag: held.etag,
                size: i64::from(!held.is_marker),
                home_modified: 7,
                verified_how: "etag".into(),
                verified_at: 1,
            }
        };
        (1..).zip(text.split_whitespace()).map(one).collect::<Vec<_>>()
    };
    let places = [Place { versions: true, ..place("r", Wanted::Yes) }];
    for (home, held, known, want) in [
        ("a b", "a b", "a b", ""),
        ("a m1", "a m1", "a m1", ""),
        ("a b", "a", "a", "different"),
        ("a", "a b", "a b", "different"),
        ("a m1", "a", "a", "different"),
        ("a b", "", "", "missing"),
        ("m1", "", "", "missing"),
        ("a", "a", "", "different"),
        ("", "a", "a", "deleted"),
        ("", "a", "", "foreign"),
    ] {
        let home_copy = versions(home).and_then(|home| {
            let (etag, size) = home.current()?;
            Some(format!("h={etag}:{size}"))
        });
        let known = Recorded { versions: copies(known), ..recorded(&home_copy.unwrap_or_default()) };
        let verdict = compare(&id("h"), versions(home).as_ref(), &places, &[versions(held)], &known, |_| true);
        let kinds: Vec<_> = verdict.findings.iter().map(|(kind, ..)| kind.as_str()).collect();
        assert_eq!(kinds.join(" "), want, "{home} {held}");
    }
}

proptest! {
    /// Whatever listings and metadata say: what a replica alone has and nobody knows of there is never marked, and nothing
    /// counts as deleted that the home has.
    #[test]
    fn nothing_is_marked_that_only_a_stranger_has(
        home in prop::sample::select(vec!["-", "a:1", "b:1"]),
        wanted in prop::collection::vec(prop::sample::select(vec![Wanted::Yes, Wanted::Surplus, Wanted::Denied]), 3),
        held in prop::collection::vec(prop::sample::select(vec!["-", "a:1", "b:2"]), 3),
        known in prop::sample::subsequence(vec!["h=a:1", "r0=a:1", "r1=a:1 suspect", "r2=b/a:2 md5"], 0..=4),
    ) {
        let places: Vec<_> = wanted.iter().enumerate().map(|(n, wanted)| place(&format!("r{n}"), *wanted)).collect();
        let known = known.join(",");
        let (found, marks, is_delete, equal) = judge(home, &places, &held, &known);
        let record = recorded(&known);
        let is_foreign = places.iter().zip(&held).any(|(p, held)| *held != "-" && !record.knows(&p.id));
        prop_assert!(!(home == "-" && is_foreign && marks), "{}", found);
        prop_assert!(!is_delete || (home == "-" && marks));
        prop_assert_eq!(marks, found.split(", ").any(|one| !one.is_empty() && !one.starts_with("foreign")));
        for number in equal {
            prop_assert!(wanted[number] != Wanted::Denied && held[number] != "-" && home != "-");
        }
    }
}

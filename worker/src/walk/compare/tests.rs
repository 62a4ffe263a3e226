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

/// Records of versions at one place, which go by the same ids there as at the home.
fn copies_on(backend: &str, text: &str) -> Vec<VersionCopy> {
    let one = |(position, text): (i64, &str)| {
        let held = version(text);
        VersionCopy {
            backend: id(backend),
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
    (1..).zip(text.split_whitespace()).map(one).collect()
}

/// What is recorded of the current object at the home.
fn home_copy(home: &str) -> Vec<ObjectCopy> {
    let home = versions(home);
    let current = home.as_ref().and_then(Held::current);
    current.map(|(etag, size)| recorded(&format!("h={etag}:{size}")).copies).unwrap_or_default()
}

#[test]
fn versions_are_compared_as_lists() {
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
        let known = Recorded { versions: copies_on("r", known), copies: home_copy(home) };
        let verdict = compare(&id("h"), versions(home).as_ref(), &places, &[versions(held)], &known, |_| true);
        let kinds: Vec<_> = verdict.findings.iter().map(|(kind, ..)| kind.as_str()).collect();
        assert_eq!(kinds.join(" "), want, "{home} {held}");
    }
}

/// A home that has lost versions must not have its replicas emptied of them without anybody being asked.
#[test]
fn versions_that_the_home_has_no_more_count_as_deleted() {
    use Wanted::{Denied, Surplus, Yes};
    for (home, wanted, held, known, want, is_delete) in [
        ("a b", Yes, "a b", "a b", "", false),
        ("b", Yes, "a b", "a b", "different", true),
        ("a", Yes, "a b", "a b", "different", true),
        ("a m1", Yes, "a b m1", "a b m1", "different", true),
        ("m1", Yes, "a m1", "a m1", "different", true),
        ("c", Yes, "a b", "a b", "different", true),
        // It has gone there, too, or was never known there.
        ("b", Yes, "b", "a b", "different", false),
        ("b", Yes, "a b", "b", "different", false),
        ("b", Yes, "", "a b", "missing", false),
        // Deleted there to be written again, behind what is missing.
        ("a b c", Yes, "a c", "a b c", "different", false),
        ("a b c", Yes, "a b", "a b", "different", false),
        // Delete markers hold nothing.
        ("a b", Yes, "a m1 b", "a m1 b", "different", false),
        // Where no copy is wanted, all go that the home still has; the others are not to be had again.
        ("a b", Surplus, "a b", "a b", "extra", false),
        ("b", Surplus, "a b", "a b", "extra", true),
        ("b", Surplus, "a b", "", "foreign", false),
        ("a b", Denied, "a b", "a b", "misplaced", false),
        ("b", Denied, "a b", "a b", "misplaced", true),
    ] {
        let places = [Place { versions: true, ..place("r", wanted) }];
        let known = Recorded { versions: copies_on("r", known), copies: home_copy(home) };
        let verdict = compare(&id("h"), versions(home).as_ref(), &places, &[versions(held)], &known, |_| true);
        let kinds: Vec<_> = verdict.findings.iter().map(|(kind, ..)| kind.as_str()).collect();
        assert_eq!((kinds.join(" ").as_str(), verdict.is_delete), (want, is_delete), "{home}, {wanted:?} {held}");
    }
}

#[test]
fn a_place_without_versions_loses_the_last_copy_of_one_only_with_approval() {
    for (home, known, is_delete) in [
        // Behind a delete marker the home still has it.
        ("a m1", "r=a:1", false),
        ("b m1", "r=a:1", true),
        ("m1", "r=a:1", true),
        ("m1", "", false),
        // An overwrite is none, as in a bucket without versions.
        ("b", "r=a:1", false),
    ] {
        let (places, held) = ([place("r", Wanted::Yes)], [object("a:1")]);
        let mut known = recorded(known);
        known.copies.extend(home_copy(home));
        let verdict = compare(&id("h"), versions(home).as_ref(), &places, &held, &known, |_| true);
        assert_eq!((verdict.marks, verdict.is_delete), (true, is_delete), "{home}");
    }
}

#[test]
fn a_backfill_marks_all_and_takes_what_is_recorded_for_held() {
    for (home, known, is_delete) in [
        ("a b", "", false),
        ("a b", "a b", false),
        ("a b c", "a", false),
        ("b", "a b", true),
        ("m1", "a", true),
        ("a", "m1 a", false),
    ] {
        let known = Recorded { versions: copies_on("r", known), copies: home_copy(home) };
        let verdict = mark_known(versions(home).as_ref(), &known, |_| true);
        assert_eq!(verdict, Verdict { marks: true, is_delete, ..Verdict::default() }, "{home}");
        assert!(!mark_known(versions(home).as_ref(), &known, |_| false).is_delete, "it is kept there no more");
    }
    let known = recorded("h=a:1,r=a:1");
    assert!(!mark_known(object("b:1").as_ref(), &known, |_| true).is_delete);
}

/// Lists of versions tell what was put again; where a place keeps none, times do.
#[test]
fn a_copy_that_is_older_than_the_homes_version_is_in_doubt() {
    for (held, known, want) in [("a:1@6", "s=a:1", true), ("a:1@7", "s=a:1", false), ("a:1", "s=a:1", false)] {
        let (places, held) = ([place("s", Wanted::Yes)], [object(held)]);
        let mut known = recorded(known);
        known.copies.extend(home_copy("b a"));
        let verdict = compare(&id("h"), versions("b a").as_ref(), &places, &held, &known, |_| true);
        assert_eq!((verdict.equal.len(), verdict.older.len()), (1, usize::from(want)), "{held:?}");
    }
    let mut earlier = version("a");
    earlier.modified = 6;
    let places = [Place { versions: true, ..place("s", Wanted::Yes) }];
    let known = Recorded { versions: copies_on("s", "a"), copies: home_copy("a") };
    let held = [Some(Held::Versions(vec![earlier]))];
    let verdict = compare(&id("h"), versions("a").as_ref(), &places, &held, &known, |_| true);
    assert_eq!((verdict.equal.len(), verdict.older.len()), (1, 0));
}

#[test]
fn a_key_with_too_many_versions_is_marked_and_never_taken_for_deleted() {
    let places = [Place { versions: true, ..place("s", Wanted::Yes) }];
    let known = Recorded { versions: copies_on("s", "a b"), copies: home_copy("b a") };
    for held in [None, versions("b a"), Some(Held::TooManyVersions)] {
        let verdict = compare(&id("h"), Some(&Held::TooManyVersions), &places, &[held], &known, |_| true);
        assert_eq!(verdict, Verdict { marks: true, ..Verdict::default() });
    }
    let backfilled = mark_known(Some(&Held::TooManyVersions), &known, |_| true);
    assert_eq!(backfilled, Verdict { marks: true, ..Verdict::default() });
    // A replica's own list that is too long is no copy of the home's.
    let held = [Some(Held::TooManyVersions)];
    let verdict = compare(&id("h"), versions("b a").as_ref(), &places, &held, &known, |_| true);
    assert!(verdict.marks && !verdict.is_delete && verdict.equal.is_empty(), "{verdict:?}");
}

proptest! {
    /// Whatever the lists and the records: a key counts as deleted if and only if converging it takes a recorded copy of a
    /// version from a place that the home lists no more; what was deleted nowhere is never held up.
    #[test]
    fn no_recorded_version_is_deleted_that_the_guard_does_not_see(
        home in prop::sample::subsequence(vec!["a", "b", "c", "d"], 1..=4),
        held in prop::collection::vec(prop::sample::subsequence(vec!["a", "b", "c", "d", "x"], 0..=5), 2),
        known in prop::collection::vec(prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4), 2),
        wanted in prop::collection::vec(prop::sample::select(vec![Wanted::Yes, Wanted::Surplus, Wanted::Denied]), 2),
    ) {
        let name = |n: usize| format!("r{n}");
        let places: Vec<_> =
            wanted.iter().enumerate().map(|(n, w)| Place { versions: true, ..place(&name(n), *w) }).collect();
        let records = known.iter().enumerate().flat_map(|(n, known)| copies_on(&name(n), &known.join(" ")));
        let record = Recorded { versions: records.collect(), copies: home_copy(&home.join(" ")) };
        let lists: Vec<_> = held.iter().map(|held| versions(&held.join(" "))).collect();
        let verdict = compare(&id("h"), versions(&home.join(" ")).as_ref(), &places, &lists, &record, |_| true);
        let loses = |(held, known): (&Vec<&str>, &Vec<&str>)| {
            held.iter().any(|version| known.contains(version) && !home.contains(version))
        };
        prop_assert_eq!(verdict.is_delete, held.iter().zip(&known).any(loses));
        prop_assert!(!verdict.is_delete || verdict.marks);
        let recorded_loss = known.iter().flatten().any(|version| !home.contains(version));
        prop_assert_eq!(mark_known(versions(&home.join(" ")).as_ref(), &record, |_| true).is_delete, recorded_loss);
    }

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

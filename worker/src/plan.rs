//! What to do about one copy of one key. Pure: observed state in, action out; the tables below are the specification.
use crate::layout;
use crate::object::Object;
use s3gateway_config::BackendId;
use s3gateway_filters::placement;
use s3gateway_store::ObjectCopy;

/// `verified_how` of a copy that was begun and not yet verified. It makes the recorded copies a superset of those that
/// may exist, so that a backend without a record needs no visit.
pub(crate) const PENDING: &str = "pending";

/// `verified_how` of a copy whose bytes were read and are not the home's, whatever its ETag says. Set by a deep walk, and
/// kept by the store until the copy was written anew.
pub(crate) const SUSPECT: &str = "suspect";

/// The home's state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // nearly always the large one, and few at a time
pub(crate) enum Home {
    /// The object as it is.
    Present(Object),
    /// The home says that there is no such key, and its bucket answers.
    Absent,
    /// It cannot be told.
    Unknown(String),
}

/// The state of another backend.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // nearly always the large one, and few at a time
pub(crate) enum Target {
    /// The copy as it is.
    Present(Object),
    /// No copy, or no bucket yet.
    Absent,
    /// It cannot be told.
    Unknown(String),
}

/// Whether a backend of the placement should hold a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It counts towards the replica count.
    Yes,
    /// The count is reached without it, or it is being drained: it goes once all others are there.
    Surplus,
    /// The residency policy denies its place.
    Denied,
}

/// How to make a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// One PUT: the copy's ETag is the MD5 as it is at the home.
    Put,
    /// A multipart upload with the source's part boundaries; the count is the home's, `None` where it had none.
    Multipart(Option<u32>),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Action {
    /// Nothing.
    Leave,
    /// Copy the bytes with everything that belongs to them.
    Copy(Method),
    /// The bytes are equal: copy headers and user metadata only.
    CopyMetadata,
    /// Only the tags differ.
    CopyTags,
    /// Delete the copy.
    Delete,
    /// Make the backend's list of the key's versions the home's, or empty where no copy is wanted.
    Versions,
    /// Not now.
    Wait(String),
    /// Never, until somebody changes something.
    Refuse(&'static str),
}

impl Action {
    /// Whether it takes an object's bytes from one backend to another.
    pub(crate) fn moves_bytes(&self) -> bool {
        matches!(self, Self::Copy(_) | Self::Versions)
    }
}

/// All that a decision about one target needs.
pub(crate) struct Facts<'a> {
    pub(crate) home: &'a Home,
    pub(crate) target: &'a Target,
    pub(crate) wanted: Wanted,
    /// What the metadata says of this copy.
    pub(crate) recorded: Option<&'a ObjectCopy>,
    /// Whether the target can hold this key byte-exact.
    pub(crate) holds_key: bool,
    /// Whether the target copies within itself.
    pub(crate) server_side_copy: bool,
    /// Whether the target keeps tags.
    pub(crate) tagging: bool,
    /// Most bytes for one PUT.
    pub(crate) multipart_threshold: u64,
}

/// Decides the action for one target.
pub(crate) fn plan(facts: &Facts<'_>) -> Action {
    match (facts.home, facts.target, facts.wanted) {
        (Home::Unknown(why), ..) => Action::Wait(why.clone()),
        (Home::Absent, Target::Present(_), _) => Action::Delete,
        (Home::Absent, Target::Absent, _) => Action::Leave,
        (Home::Present(_), Target::Present(_), Wanted::Surplus | Wanted::Denied) => Action::Delete,
        (Home::Present(_), Target::Absent, Wanted::Surplus | Wanted::Denied) => Action::Leave,
        // A place that never had a copy and needs none may be away for as long as it likes.
        (Home::Absent, Target::Unknown(_), _)
        | (Home::Present(_), Target::Unknown(_), Wanted::Surplus | Wanted::Denied)
            if facts.recorded.is_none() =>
        {
            Action::Leave
        }
        (_, Target::Unknown(why), _) => Action::Wait(why.clone()),
        (Home::Present(_), _, Wanted::Yes) if !facts.holds_key => Action::Refuse("the target cannot hold this key"),
        (Home::Present(home), Target::Absent, Wanted::Yes) => {
            Action::Copy(decide_method(home, facts.multipart_threshold))
        }
        (Home::Present(home), Target::Present(copy), Wanted::Yes) => plan_present(home, copy, facts),
    }
}

/// Decides the action for one target that keeps versions of a bucket that keeps them.
///
/// `versions`: whether the home has any version of the key. `held`: whether the target has, or why that cannot be told.
/// `recorded`: whether the metadata says that it may have.
pub(crate) fn plan_list(
    versions: bool,
    held: &Result<bool, String>,
    wanted: Wanted,
    recorded: bool,
    holds_key: bool,
) -> Action {
    let is_wanted = versions && wanted == Wanted::Yes;
    match held {
        Err(_) if !is_wanted && !recorded => Action::Leave,
        Err(why) => Action::Wait(why.clone()),
        Ok(_) if is_wanted && !holds_key => Action::Refuse("the target cannot hold this key"),
        Ok(held) if !is_wanted && !held && !recorded => Action::Leave,
        Ok(_) => Action::Versions,
    }
}

fn plan_present(home: &Object, copy: &Object, facts: &Facts<'_>) -> Action {
    /// CopyObject's limit.
    const MAX_SERVER_COPY: u64 = 5 << 30;
    let method = decide_method(home, facts.multipart_threshold);
    if !is_same_content(home, copy, facts.recorded) {
        return Action::Copy(method);
    }
    if !copy.headers.equal_home(&home.headers) {
        // A multipart object that is copied onto itself may lose its ETag.
        let in_place = facts.server_side_copy && method == Method::Put && home.size <= MAX_SERVER_COPY;
        return if in_place { Action::CopyMetadata } else { Action::Copy(method) };
    }
    if facts.tagging && copy.tags != home.tags { Action::CopyTags } else { Action::Leave }
}

/// Whether the copy holds the home's bytes: it is not known to be corrupt, and has an equal ETag, or the pair of ETags that was verified when it was copied.
pub(crate) fn is_same_content(home: &Object, copy: &Object, recorded: Option<&ObjectCopy>) -> bool {
    if recorded.is_some_and(|r| r.verified_how == SUSPECT) {
        return false;
    }
    let verified = |r: &ObjectCopy| r.verified_how != PENDING && r.home_etag == home.etag && r.etag == copy.etag;
    home.size == copy.size && !home.etag.is_empty() && (home.etag == copy.etag || recorded.is_some_and(verified))
}

pub(crate) fn decide_method(home: &Object, multipart_threshold: u64) -> Method {
    match layout::part_count(&home.etag) {
        Some(count) => Method::Multipart(Some(count)),
        None if home.size > multipart_threshold => Method::Multipart(None),
        None => Method::Put,
    }
}

/// Which backends of the placement, other than the home, should hold a copy: the first allowed ones in placement order
/// until `count` copies, home included, are reached.
pub(crate) fn decide_wanted(
    placement: &[BackendId],
    home: &BackendId,
    count: u32,
    is_allowed: impl Fn(&BackendId) -> bool,
) -> Vec<(BackendId, Wanted)> {
    let holders = placement::replicas(placement, home, count, &is_allowed);
    let others = placement.iter().filter(|id| *id != home);
    let decided = others.map(|id| {
        let wanted = match is_allowed(id) {
            false => Wanted::Denied,
            true if holders.contains(&id) => Wanted::Yes,
            true => Wanted::Surplus,
        };
        (id.clone(), wanted)
    });
    decided.collect()
}

/// What is wanted of a replica that is being drained.
pub(crate) fn decide_drained(is_allowed: bool) -> Wanted {
    if is_allowed { Wanted::Surplus } else { Wanted::Denied }
}

/// What is wanted of where a migration takes the home: all that the home has, on top of any count.
pub(crate) fn decide_arriving(is_allowed: bool) -> Wanted {
    if is_allowed { Wanted::Yes } else { Wanted::Denied }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ObjectHeaders, Tags};

    const MD5: &str = "5d41402abc4b2a76b9719d911017c592";

    fn object(etag: &str, size: u64) -> Object {
        Object { etag: etag.into(), size, ..Default::default() }
    }
    fn typed(etag: &str, content_type: &str) -> Object {
        Object {
            headers: ObjectHeaders { content_type: Some(content_type.into()), ..Default::default() },
            ..object(etag, 1)
        }
    }
    fn tagged(etag: &str, tag: &str) -> Object {
        Object { tags: Tags::from([(tag.to_owned(), "x".to_owned())]), ..object(etag, 1) }
    }
    fn recorded(etag: &str, home_etag: &str, how: &str) -> ObjectCopy {
        ObjectCopy {
            backend: id("b"),
            etag: etag.into(),
            home_etag: home_etag.into(),
            size: 1,
            verified_how: how.into(),
            verified_at: 0,
        }
    }
    fn id(id: &str) -> BackendId {
        BackendId::parse(id).unwrap()
    }
    fn facts<'a>(home: &'a Home, target: &'a Target, wanted: Wanted) -> Facts<'a> {
        Facts {
            home,
            target,
            wanted,
            recorded: None,
            holds_key: true,
            server_side_copy: true,
            tagging: true,
            multipart_threshold: 100,
        }
    }

    #[test]
    fn every_pair_of_states_has_its_action() {
        use Wanted::{Denied, Surplus, Yes};
        let here = |etag: &str| Home::Present(object(etag, 1));
        let there = |etag: &str| Target::Present(object(etag, 1));
        let away = || Target::Unknown("away".into());
        let put = Action::Copy(Method::Put);
        for (home, target, wanted, want) in [
            (here(MD5), Target::Absent, Yes, put.clone()),
            (here(MD5), Target::Absent, Surplus, Action::Leave),
            (here(MD5), Target::Absent, Denied, Action::Leave),
            (here(MD5), there(MD5), Yes, Action::Leave),
            (here(MD5), there(MD5), Surplus, Action::Delete),
            (here(MD5), there(MD5), Denied, Action::Delete),
            (here(MD5), there("other"), Yes, put.clone()),
            (here(MD5), Target::Present(object(MD5, 2)), Yes, put.clone()),
            (here(""), there(""), Yes, put.clone()),
            (here("a-3"), Target::Absent, Yes, Action::Copy(Method::Multipart(Some(3)))),
            (Home::Present(object(MD5, 100)), Target::Absent, Yes, put),
            (Home::Present(object(MD5, 101)), Target::Absent, Yes, Action::Copy(Method::Multipart(None))),
            (here(MD5), away(), Yes, Action::Wait("away".into())),
            (here(MD5), away(), Surplus, Action::Leave),
            (here(MD5), away(), Denied, Action::Leave),
            (Home::Absent, there(MD5), Yes, Action::Delete),
            (Home::Absent, there(MD5), Surplus, Action::Delete),
            (Home::Absent, there(MD5), Denied, Action::Delete),
            (Home::Absent, Target::Absent, Yes, Action::Leave),
            (Home::Absent, away(), Yes, Action::Leave),
            (Home::Unknown("down".into()), there(MD5), Yes, Action::Wait("down".into())),
            (Home::Unknown("down".into()), there(MD5), Surplus, Action::Wait("down".into())),
            (Home::Unknown("down".into()), there(MD5), Denied, Action::Wait("down".into())),
            (Home::Unknown("down".into()), Target::Absent, Yes, Action::Wait("down".into())),
            (Home::Unknown("down".into()), away(), Yes, Action::Wait("down".into())),
        ] {
            assert_eq!(plan(&facts(&home, &target, wanted)), want, "{home:?} {target:?} {wanted:?}");
        }
    }

    #[test]
    fn a_recorded_copy_out_of_reach_is_waited_for() {
        let record = recorded("", MD5, PENDING);
        for (home, wanted) in [
            (Home::Absent, Wanted::Yes),
            (Home::Absent, Wanted::Denied),
            (Home::Present(object(MD5, 1)), Wanted::Surplus),
            (Home::Present(object(MD5, 1)), Wanted::Denied),
        ] {
            let target = Target::Unknown("away".into());
            let facts = Facts { recorded: Some(&record), ..facts(&home, &target, wanted) };
            assert_eq!(plan(&facts), Action::Wait("away".into()), "{home:?} {wanted:?}");
        }
    }

    #[test]
    fn a_verified_pair_of_etags_counts_as_equal_and_a_pending_one_does_not() {
        let (home, target) = (Home::Present(object("h-2", 1)), Target::Present(object("t", 1)));
        for (record, want) in [
            (recorded("t", "h-2", "md5"), Action::Leave),
            (recorded("t", "h-2", "size"), Action::Leave),
            (recorded("t", "h-2", PENDING), Action::Copy(Method::Multipart(Some(2)))),
            (recorded("t", "old", "md5"), Action::Copy(Method::Multipart(Some(2)))),
            (recorded("old", "h-2", "md5"), Action::Copy(Method::Multipart(Some(2)))),
            (recorded("t", "h-2", SUSPECT), Action::Copy(Method::Multipart(Some(2)))),
        ] {
            let facts = Facts { recorded: Some(&record), ..facts(&home, &target, Wanted::Yes) };
            assert_eq!(plan(&facts), want, "{record:?}");
        }
    }

    #[test]
    fn a_suspect_copy_is_copied_anew_though_its_etag_is_the_homes() {
        let (home, target) = (Home::Present(object(MD5, 1)), Target::Present(object(MD5, 1)));
        for (how, want) in [("etag", Action::Leave), (PENDING, Action::Leave), (SUSPECT, Action::Copy(Method::Put))] {
            let record = recorded(MD5, MD5, how);
            assert_eq!(plan(&Facts { recorded: Some(&record), ..facts(&home, &target, Wanted::Yes) }), want, "{how}");
        }
    }

    #[test]
    fn metadata_and_tags_alone_do_not_move_bytes_where_the_target_can_help_it() {
        let headers = (Home::Present(typed(MD5, "text/plain")), Target::Present(typed(MD5, "image/png")));
        let multipart = (Home::Present(typed("a-2", "text/plain")), Target::Present(typed("a-2", "image/png")));
        let tags = (Home::Present(tagged(MD5, "a")), Target::Present(tagged(MD5, "b")));
        let base = facts(&headers.0, &headers.1, Wanted::Yes);
        assert_eq!(plan(&base), Action::CopyMetadata);
        assert_eq!(plan(&Facts { server_side_copy: false, ..base }), Action::Copy(Method::Put));
        assert_eq!(plan(&facts(&multipart.0, &multipart.1, Wanted::Yes)), Action::Copy(Method::Multipart(Some(2))));
        let base = facts(&tags.0, &tags.1, Wanted::Yes);
        assert_eq!(plan(&base), Action::CopyTags);
        assert_eq!(plan(&Facts { tagging: false, ..base }), Action::Leave);
    }

    #[test]
    fn lists_of_versions_are_made_equal_where_there_is_or_may_be_something() {
        use Wanted::{Denied, Surplus, Yes};
        let away = || Err("away".to_owned());
        for (versions, held, wanted, recorded, want) in [
            (true, Ok(false), Yes, false, Action::Versions),
            (true, Ok(true), Yes, true, Action::Versions),
            (true, away(), Yes, false, Action::Wait("away".into())),
            (true, Ok(false), Surplus, false, Action::Leave),
            (true, Ok(true), Surplus, false, Action::Versions),
            (true, Ok(false), Denied, true, Action::Versions),
            (true, away(), Denied, false, Action::Leave),
            (true, away(), Surplus, true, Action::Wait("away".into())),
            (false, Ok(false), Yes, false, Action::Leave),
            (false, Ok(true), Yes, false, Action::Versions),
            (false, away(), Yes, false, Action::Leave),
            (false, away(), Yes, true, Action::Wait("away".into())),
        ] {
            let got = plan_list(versions, &held, wanted, recorded, true);
            assert_eq!(got, want, "{versions} {held:?} {wanted:?} {recorded}");
        }
        assert!(matches!(plan_list(true, &Ok(false), Yes, false, false), Action::Refuse(_)));
        assert_eq!(plan_list(true, &Ok(true), Surplus, false, false), Action::Versions);
    }

    #[test]
    fn a_key_that_the_target_cannot_hold_is_refused_only_where_a_copy_is_wanted() {
        let (home, target) = (Home::Present(object(MD5, 1)), Target::Absent);
        let unfit = |wanted| Facts { holds_key: false, ..facts(&home, &target, wanted) };
        assert!(matches!(plan(&unfit(Wanted::Yes)), Action::Refuse(_)));
        assert_eq!(plan(&unfit(Wanted::Surplus)), Action::Leave);
    }

    #[test]
    fn copies_go_to_the_first_allowed_places_in_order() {
        use Wanted::{Denied, Surplus, Yes};
        let placement = [id("a"), id("b"), id("c"), id("d")];
        for (home, count, denied, want) in [
            ("a", 1, "", vec![("b", Surplus), ("c", Surplus), ("d", Surplus)]),
            ("a", 2, "", vec![("b", Yes), ("c", Surplus), ("d", Surplus)]),
            ("a", 2, "b", vec![("b", Denied), ("c", Yes), ("d", Surplus)]),
            ("a", 9, "c", vec![("b", Yes), ("c", Denied), ("d", Yes)]),
            ("c", 2, "", vec![("a", Yes), ("b", Surplus), ("d", Surplus)]),
            ("a", 0, "", vec![("b", Surplus), ("c", Surplus), ("d", Surplus)]),
        ] {
            let got = decide_wanted(&placement, &id(home), count, |b| b.as_str() != denied);
            let want: Vec<_> = want.into_iter().map(|(b, w)| (id(b), w)).collect();
            assert_eq!(got, want, "{home} {count} {denied}");
        }
    }
}

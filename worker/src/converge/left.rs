//! Keys of which all is done but what waits for places that are not to be asked now: while such a place is away or throttles, the
//! home is not read again and again for each of them.
//! Only ever puts a key off: what is forgotten here, or was looked at by another worker, is looked at once more.
use super::{ConvergeError, Converger, NotNow, Place, Scene};
use crate::claim::Claim;
use s3gateway_config::BackendId;
use s3gateway_store::queue::{Holder, Job};
use s3gateway_store::{ObjectCopy, Route};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// Keys noted before the oldest of them are forgotten, twice as many in all: some 25 MB.
const KEYS: usize = 250_000;

type Places = Arc<[BackendId]>;

/// The places that keys wait for.
#[derive(Default)]
pub(super) struct Left(Mutex<Noted>);

/// By what a look at a key was; older ones go together.
#[derive(Default)]
struct Noted {
    new: HashMap<u64, Places>,
    old: HashMap<u64, Places>,
    /// Most wait for the same ones.
    last: Places,
}

/// The key as it was looked at: a write raises its sequence, and whatever else there may be to do for it marks it.
fn of_look(job: &Job, epoch: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (job.key.bucket.as_str(), job.key.key.as_str(), job.holder == Holder::Redis, job.sequence, epoch).hash(&mut hasher);
    hasher.finish()
}

impl Left {
    /// Notes that nothing is left to do for a job's key but at these places.
    fn note(&self, job: &Job, epoch: i64, places: Vec<BackendId>) {
        let look = of_look(job, epoch);
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *noted.last != *places {
            noted.last = places.into();
        }
        if noted.new.len() >= KEYS {
            noted.old = std::mem::take(&mut noted.new);
        }
        let places = noted.last.clone();
        noted.new.insert(look, places);
    }

    /// Where alone something is left to do for a job's key; `None`: that is not known.
    fn of(&self, job: &Job, epoch: i64) -> Option<Places> {
        let look = of_look(job, epoch);
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.new.get(&look).or_else(|| noted.old.get(&look)).cloned()
    }
}

impl Converger {
    /// Fails where nothing is left to be done for the key but at places that are not to be asked now: its home, which was looked at, is
    /// not asked for that again.
    pub(super) async fn require_a_place(&self, route: &Route, claim: &Claim) -> Result<(), ConvergeError> {
        let Some(left) = self.left.of(&claim.job, route.epoch) else { return Ok(()) };
        let mut soonest: Option<NotNow> = None;
        for id in left.iter() {
            let mut placed = route.placement.iter().chain(&route.draining).chain(&route.arriving);
            let remote = if placed.any(|other| other == id) { self.backends.get(id).await? } else { None };
            let Some(not_now) = remote.and_then(|remote| remote.not_now()) else { return Ok(()) };
            soonest = soonest.filter(|soonest| soonest.rest() <= not_now.rest()).or(Some(not_now));
        }
        match soonest {
            Some(not_now) => Err(ConvergeError::NotNow("what is left waits for its places".to_owned(), not_now)),
            None => Ok(()),
        }
    }

    /// Notes where alone something is left to do after a look at a key, if the home is still what it was.
    pub(super) fn note_left(
        &self,
        scene: &Scene<'_>,
        places: &[Place],
        results: &[Result<Option<ObjectCopy>, ConvergeError>],
        unchanged: &Result<bool, ConvergeError>,
    ) {
        if let (Ok(true), Some(left)) = (unchanged, decide_left(places, results)) {
            self.left.note(&scene.claim.job, scene.route.epoch, left);
        }
    }
}

/// The places that were not to be asked, where that is all that is left to do.
fn decide_left(places: &[Place], results: &[Result<Option<ObjectCopy>, ConvergeError>]) -> Option<Vec<BackendId>> {
    let mut left = Vec::new();
    for (place, result) in places.iter().zip(results) {
        match result {
            // What is surplus waits for the others.
            Ok(_) | Err(ConvergeError::Stays) => {}
            Err(ConvergeError::NotNow(..)) => left.push(place.id.clone()),
            Err(_) => return None,
        }
    }
    (!left.is_empty()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Target, Wanted};
    use s3gateway_s3::ObjectKey;
    use s3gateway_store::queue::Lane;
    use s3gateway_store::{BucketId, DirtyKey};
    use std::time::Duration;

    fn id(id: &str) -> BackendId {
        BackendId::parse(id).unwrap()
    }

    fn job(key: &str, sequence: i64, holder: Holder) -> Job {
        let key = DirtyKey { bucket: BucketId::new("b"), key: ObjectKey::parse(key).unwrap() };
        let (request_id, handle) = (String::new(), String::new());
        Job { key, sequence, attempts: 0, request_id, dirty_since: 0, holder, lane: Lane::Small, handle }
    }

    #[test]
    fn a_key_is_known_by_the_look_at_it() {
        let left = Left::default();
        let looked_at = job("k", 7, Holder::Sql);
        left.note(&looked_at, 1, vec![id("a"), id("b")]);
        assert_eq!(left.of(&looked_at, 1).as_deref(), Some(&[id("a"), id("b")][..]));
        assert_eq!(left.of(&Job { attempts: 3, ..looked_at.clone() }, 1).map(|places| places.len()), Some(2));
        let other_key = DirtyKey { key: ObjectKey::parse("l").unwrap(), ..looked_at.key.clone() };
        for (other, epoch) in [
            (Job { sequence: 8, ..looked_at.clone() }, 1),
            (Job { holder: Holder::Redis, ..looked_at.clone() }, 1),
            (Job { key: other_key, ..looked_at.clone() }, 1),
            (looked_at.clone(), 2),
        ] {
            assert_eq!(left.of(&other, epoch), None, "{other:?} {epoch}");
        }
        left.note(&looked_at, 1, vec![id("b")]);
        assert_eq!(left.of(&looked_at, 1).as_deref(), Some(&[id("b")][..]));
    }

    #[test]
    fn the_oldest_keys_are_forgotten_and_the_newest_known() {
        let left = Left::default();
        let of = |sequence: usize| i64::try_from(sequence).unwrap();
        let job = job("k", 0, Holder::Sql);
        for n in 0..=2 * KEYS {
            left.note(&Job { sequence: of(n), ..job.clone() }, 1, vec![id("a")]);
        }
        let is_known = |n: usize| left.of(&Job { sequence: of(n), ..job.clone() }, 1).is_some();
        assert!(!is_known(0) && !is_known(KEYS - 1) && is_known(KEYS) && is_known(2 * KEYS));
    }

    #[test]
    fn nothing_is_left_but_what_is_not_to_be_asked_now() {
        let place = |name: &str| Place {
            id: id(name),
            remote: None,
            wanted: Wanted::Yes,
            target: Target::Absent,
            recorded: None,
            action: Action::Leave,
            not_now: None,
        };
        let places = [place("a"), place("b"), place("c")];
        let not_now = || Err(ConvergeError::NotNow(String::new(), NotNow::Resting(Duration::ZERO)));
        let away = || Err(ConvergeError::Unavailable(String::new()));
        for (results, want) in [
            ([Ok(None), Ok(None), Ok(None)], None),
            ([Ok(None), not_now(), Ok(None)], Some(vec![id("b")])),
            ([not_now(), not_now(), Err(ConvergeError::Stays)], Some(vec![id("a"), id("b")])),
            ([not_now(), away(), Ok(None)], None),
            ([not_now(), Err(ConvergeError::Changed), Ok(None)], None),
        ] {
            assert_eq!(decide_left(&places, &results), want, "{results:?}");
        }
    }
}

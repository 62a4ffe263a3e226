//! The judge: sees every landing and every mark, and ends the schedule as soon as a promise is broken.
//! What the protocol does not promise to notice at once (a replica changed behind the gateway's back, a request whose claim was lost
//! before it landed, or that lands after all that its worker has noted) is excused until the next walk, and must be found by that.
use super::ask::Ask;
use super::held::Stored;
use super::world::{Role, Site, World};
use s3gateway_s3::ObjectKey;
use std::collections::{BTreeMap, BTreeSet};

/// The tag by which an object asks for another count of copies.
pub const COUNT_TAG: &str = "replica-count";

/// What is known of one key.
#[derive(Clone, Debug, Default)]
pub struct Known {
    is_dirty: bool,
    /// The worker that holds it, and the number of its claim.
    holder: Option<(String, u64)>,
    /// How often it was claimed.
    claims: u64,
    /// Claims that were taken over.
    lost: BTreeSet<u64>,
    /// Claims by which something was sent that may land later than they end, and until when that was said to be, by the database's clock.
    awaited: BTreeMap<u64, i64>,
    /// That worker has claimed it twice, the first job having run out under it: which of the two sends what, nobody can tell.
    is_held_twice: bool,
    /// Why it may be clean and yet not equal everywhere.
    excuse: Option<&'static str>,
    /// When it became other than it must be, where it is.
    unequal_since: Option<u64>,
    /// Redis may have forgotten its mark. What becomes of it then is found without anybody's asking.
    is_forgotten: bool,
}

impl Known {
    /// The claim by which a worker holds it, if it does and that is certain.
    fn claim_of(&self, worker: &str) -> Option<u64> {
        self.holder.as_ref().filter(|(holder, _)| holder == worker && !self.is_held_twice).map(|(_, claim)| *claim)
    }

    /// Why nobody could have prevented that something lands now which was sent by a claim.
    fn excuse_of(&self, claim: Option<u64>, now: i64) -> Option<&'static str> {
        let Some(claim) = claim.filter(|claim| !self.lost.contains(claim)) else {
            return Some("its worker may have lost it");
        };
        let is_held = self.holder.as_ref().is_some_and(|(_, held)| *held == claim);
        // A claim that a worker has ended itself, without a word on what may land yet, excuses nothing.
        let is_late = self.awaited.get(&claim).is_some_and(|until| now >= *until);
        (!is_held && is_late).then_some("a request landed late")
    }

    /// Whether it may be clean and yet not equal everywhere for now.
    fn may_differ(&self) -> bool {
        self.excuse.is_some() || self.is_forgotten
    }
}

impl World {
    fn know<T>(&self, key: &str, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.known.lock().unwrap().entry(key.to_owned()).or_default())
    }

    pub fn keys(&self) -> BTreeSet<String> {
        self.known.lock().unwrap().keys().cloned().collect()
    }

    /// A worker is about to send this. The claim by which it does.
    pub fn look_at(&self, actor: &str, site: &Site, ask: &Ask) -> Option<u64> {
        if !ask.changes() {
            return None;
        }
        match site.role {
            Role::Home => self.stage.fail(format!("{actor} changes the home: {}", ask.name())),
            // What should not be there may be deleted.
            Role::Forbidden if ask.method != "DELETE" => {
                self.stage.fail(format!("{actor} writes where it must not: {}", ask.name()));
            }
            _ => {}
        }
        self.known.lock().unwrap().get(&ask.key)?.claim_of(actor)
    }

    /// As [`Self::landed`], of what a worker has sent by a claim.
    pub fn landed_by(&self, claim: Option<u64>, actor: &str, site: &Site, key: &str) {
        let now = self.clocks().database;
        let excuse = self.know(key, |known| known.excuse_of(claim, now));
        self.landed(actor, site, key, excuse);
    }

    /// An object may be another than it was. `excuse`: why nobody could have prevented it.
    pub fn landed(&self, actor: &str, site: &Site, key: &str, excuse: Option<&'static str>) {
        let difference = self.difference(key);
        let now = self.stage.millis();
        let wrong = self.know(key, |known| {
            known.unequal_since = difference.as_ref().map(|_| known.unequal_since.unwrap_or(now));
            match (&difference, excuse) {
                (None, _) => None,
                (Some(_), Some(excuse)) => {
                    known.excuse = Some(excuse);
                    None
                }
                (Some(difference), None) if !known.is_dirty && !known.may_differ() => Some(difference.clone()),
                _ => None,
            }
        });
        if let Some(wrong) = wrong {
            self.stage.fail(format!("{key} is clean, {actor} changes {}, and {wrong}", site.id));
        }
    }

    pub fn marked(&self, key: &ObjectKey) {
        self.know(key.as_str(), |known| known.is_dirty = true);
    }

    /// Redis has lost marks.
    pub fn forgotten(&self) {
        self.known.lock().unwrap().values_mut().for_each(|known| known.is_forgotten = true);
    }

    pub fn claimed(&self, key: &ObjectKey, worker: &str) {
        self.know(key.as_str(), |known| {
            known.claims += 1;
            let before = known.holder.replace((worker.to_owned(), known.claims));
            known.is_held_twice = before.as_ref().is_some_and(|(holder, _)| holder == worker);
            known.lost.extend(before.map(|(_, claim)| claim));
        });
    }

    /// A worker says that something which it has sent may land until then.
    pub fn awaited(&self, key: &ObjectKey, worker: &str, until: i64) {
        self.know(key.as_str(), |known| {
            known.is_dirty = true;
            if let Some(claim) = known.claim_of(worker) {
                known.awaited.insert(claim, until);
            }
        });
    }

    pub fn given_back(&self, key: &ObjectKey, worker: &str) {
        self.know(key.as_str(), |known| known.holder = known.holder.take().filter(|(holder, _)| holder != worker));
    }

    /// The queue says that the key is clean now.
    pub fn cleared(&self, key: &ObjectKey, worker: &str) {
        let difference = self.difference(key.as_str());
        let wrong = self.know(key.as_str(), |known| {
            known.is_dirty = false;
            known.holder = None;
            match difference {
                None => known.excuse = None,
                Some(difference) if !known.may_differ() => return Some(difference),
                Some(_) => {}
            }
            None
        });
        if let Some(wrong) = wrong {
            self.stage.fail(format!("{worker} clears {}, and {wrong}", key.as_str()));
        }
    }

    pub fn buried(&self, key: &ObjectKey, reason: &str) {
        if self.weather().only_throttles() {
            self.stage.fail(format!("{} is given up for throttling alone: {reason}", key.as_str()));
        }
    }

    /// A client has been told that its write is done: it is at all its places, or known not to be.
    pub fn acknowledged(&self, key: &str) {
        let difference = self.difference(key);
        let is_known = self.know(key, |known| known.is_dirty || known.may_differ());
        if let Some(difference) = difference.filter(|_| !is_known) {
            self.stage.fail(format!("a write of {key} is acknowledged, and {difference}"));
        }
    }

    /// The queue says that no key is dirty, and that none can have been forgotten.
    pub fn remembered(&self) {
        self.known.lock().unwrap().values_mut().for_each(|known| known.is_forgotten = false);
    }

    /// The queue, asked since then, says that the key is clean, so that it may be read anywhere.
    pub fn said_to_be_clean(&self, key: &str, since: u64) {
        let difference = self.difference(key);
        let was_unequal = self
            .know(key, |known| known.excuse.is_none() && known.unequal_since.is_some_and(|unequal| unequal < since));
        if let Some(difference) = difference.filter(|_| was_unequal) {
            self.stage.fail(format!("{key} is said to be clean, and {difference}"));
        }
    }

    /// How a key is not what it must be; `None` where all is well.
    fn difference(&self, key: &str) -> Option<String> {
        let at = |site: &Site| site.held.lock().unwrap().objects.get(key).cloned();
        let home = at(self.home());
        let wish = home.as_ref().and_then(|home| home.tags.get(COUNT_TAG)?.parse().ok());
        let mut wanted = wish.unwrap_or(self.replica_count).saturating_sub(1);
        for site in &self.sites[1..] {
            let is_wanted = home.is_some() && site.role == Role::Place && wanted > 0;
            wanted -= usize::from(is_wanted);
            match (at(site), &home) {
                (None, _) if !is_wanted => {}
                (None, _) => return Some(format!("{} lacks it", site.id)),
                (Some(_), None) => return Some(format!("{} has it, the home has not", site.id)),
                (Some(_), Some(_)) if !is_wanted => return Some(format!("{} has a copy too many", site.id)),
                (Some(copy), Some(home)) if copy.is_copy_of(home) => {}
                (Some(copy), Some(home)) => {
                    let show = |one: &Stored| {
                        let body = String::from_utf8_lossy(&one.body[..one.body.len().min(20)]).into_owned();
                        format!("{body:?} of {} {:?} {:?}", one.body.len(), one.headers, one.tags)
                    };
                    return Some(format!("{} has {}, the home {}", site.id, show(&copy), show(home)));
                }
            }
        }
        None
    }

    /// Keys that wait for a walk, each with its excuse.
    pub fn excused(&self) -> Vec<(String, &'static str)> {
        let known = self.known.lock().unwrap();
        let excused = known.iter().filter_map(|(key, known)| Some((key.clone(), known.excuse?)));
        excused.collect::<Vec<_>>().into_iter().filter(|(key, _)| self.difference(key).is_some()).collect()
    }

    /// Everything is at rest: all copies are what they must be, whatever there was to excuse. `reported`: whether a walk has
    /// told of a copy that the home does not have.
    pub fn judge(&self, reported: &BTreeSet<String>) {
        for key in self.keys() {
            let is_at_home = self.home().held.lock().unwrap().objects.contains_key(&key);
            match self.difference(&key) {
                Some(difference) if is_at_home || !reported.contains(&key) => {
                    self.stage.fail(format!("all is at rest, and of {key} {difference}"));
                }
                _ => {}
            }
        }
    }
}

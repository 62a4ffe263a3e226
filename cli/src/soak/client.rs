//! One client of the load: it owns its keys and does one thing after the other, so that it knows what each may hold.
//! Invariant: a key at which a write was left without an answer gets that write again, and then no other: the first
//! could still land at any time, and would be taken for a fault.
use super::{
    content::Content,
    history::{Effect, History, Outcome, Seen, State, Verdict},
    ledger::Ledger,
    s3::{self, Answer, Read},
    tally::{Answered, Finding, Tally},
    write::{How, PART, Write},
};
use crate::failure::Failure;
use aws_sdk_s3::{
    Client as S3,
    types::{Delete, ObjectIdentifier},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Tries of a write that is not answered.
const TRIES: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Where several keys are deleted at once.
const AT_ONCE: usize = 4;
const SMALL: usize = 64 * 1024;

/// What all clients share.
pub struct Load {
    /// The first endpoint.
    pub endpoint: S3,
    /// The other endpoints, used in turn.
    pub others: VecDeque<S3>,
    /// The logical bucket.
    pub bucket: String,
    /// What every key begins with.
    pub prefix: String,
    /// Of the load and of all bytes.
    pub seed: u64,
    /// Keys that each client writes at a time.
    pub keys: usize,
    /// The most bytes of an object.
    pub max_size: usize,
    /// What was begun and answered.
    pub ledger: Ledger,
    /// What was counted.
    pub tally: Arc<Tally>,
}

/// One client.
pub struct Client {
    load: Arc<Load>,
    number: usize,
    rng: StdRng,
    version: u64,
    /// The endpoint of the next request, and those after it.
    next: S3,
    others: VecDeque<S3>,
    /// For each of its keys, how often it was given up for a new one.
    generations: Vec<u64>,
    histories: BTreeMap<String, History>,
}

impl Client {
    /// A client that has written nothing yet, and begins with the endpoint of its number.
    pub fn new(load: Arc<Load>, number: usize) -> Self {
        let rng = StdRng::seed_from_u64(load.seed ^ (number as u64).wrapping_mul(0x9e37_79b9));
        let generations = vec![0; load.keys.max(1)];
        let mut others = load.others.clone();
        let mut next = load.endpoint.clone();
        (0..number).for_each(|_| turn(&mut next, &mut others));
        Self { load, number, rng, version: 0, next, others, generations, histories: BTreeMap::new() }
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Failure> {
        while !stop.is_cancelled() {
            self.step().await?;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), Failure> {
        let slot = self.rng.random_range(0..self.generations.len());
        let key = self.key(slot);
        let there = self.histories.get(&key).and_then(History::exact).flatten().cloned();
        let (how, effect) = match (self.rng.random_range(0..100), there) {
            (0..28, _) => (How::Put, self.fresh(&key, SMALL)),
            (28..31, _) => (How::Put, self.fresh(&key, self.load.max_size)),
            (31..33, _) => (How::Multipart, self.fresh(&key, self.load.max_size.max(PART + 1))),
            (33..38, _) => (How::PutIfAbsent, self.fresh(&key, SMALL)),
            (38..44, _) => return self.copy(slot, key).await,
            (44..52, _) => (How::Delete, Effect::Gone),
            (52..54, _) => return self.delete_several().await,
            (54..59, Some(_)) => {
                self.version += 1;
                (How::Tag, Effect::Tagged(self.version))
            }
            (59..70, Some(state)) if state.content.size > 0 => {
                let offset = self.rng.random_range(0..state.content.size);
                let length = self.rng.random_range(1..=state.content.size - offset);
                self.read(&key, Some((offset, length))).await;
                return Ok(());
            }
            (97.., _) => {
                self.list().await;
                return Ok(());
            }
            _ => {
                // Also the keys that were given up: what was acknowledged there stays.
                let any = self.rng.random_range(0..self.histories.len().max(1));
                let key = self.histories.keys().nth(any).cloned().unwrap_or(key);
                self.read(&key, None).await;
                return Ok(());
            }
        };
        self.write(slot, Write { key, effect, how }).await.map(drop)
    }

    fn key(&self, slot: usize) -> String {
        let generation = self.generations.get(slot).copied().unwrap_or_default();
        format!("{}c{}/k{slot}.{generation}", self.load.prefix, self.number)
    }

    /// An object that never was: usually some bytes, at times none, at times with a tag.
    fn fresh(&mut self, key: &str, most: usize) -> Effect {
        self.version += 1;
        let least = if most > PART { PART + 1 } else { 32.min(most) };
        let is_empty = most <= PART && self.rng.random_ratio(1, 20);
        let size = if is_empty { 0 } else { self.rng.random_range(least..=most) };
        let tag = self.rng.random_ratio(1, 4).then_some(self.version);
        Effect::Becomes(State { content: Content { key: key.to_owned(), version: self.version, size }, tag })
    }

    fn next(&mut self) -> S3 {
        let next = self.next.clone();
        turn(&mut self.next, &mut self.others);
        next
    }

    /// Sends a write until it is answered, or often enough. Gives whether the key was given up for it.
    async fn write(&mut self, slot: usize, write: Write) -> Result<bool, Failure> {
        let before = self.histories.get(&write.key).map_or(Some(None), |history| history.exact().map(|s| s.cloned()));
        let mut pause = FIRST_PAUSE;
        for tried in 0..TRIES {
            let s3 = self.next();
            let ids = self.load.ledger.begin(&[(&write.key, &write.effect)]).await?;
            let history = self.histories.entry(write.key.clone()).or_default();
            history.begin(&write.effect);
            let (outcome, why) = write.send(&s3, &self.load.bucket, self.load.seed).await;
            let ends: Vec<_> = ids.into_iter().map(|id| (id, outcome)).collect();
            self.load.ledger.end(&ends).await?;
            let history = self.histories.entry(write.key.clone()).or_default();
            history.end(&write.effect, outcome);
            self.load.tally.count(write.how.name(), answered(outcome, &why));
            if write.how == How::PutIfAbsent && tried == 0 {
                self.judge_condition(&write.key, before.as_ref(), outcome, &why);
            }
            if outcome == Outcome::Acknowledged {
                self.load.tally.acknowledged();
            }
            // Parts that could not be sent say nothing of an earlier try that was completed.
            let is_over = outcome == Outcome::Acknowledged || write.how != How::Multipart || tried == 0;
            if outcome != Outcome::Unknown && is_over {
                if tried > 0 {
                    self.give_up(slot);
                }
                return Ok(tried > 0);
            }
            // A second try of this one is answered by what the first has done.
            if write.how == How::PutIfAbsent {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.give_up(slot);
        Ok(true)
    }

    fn give_up(&mut self, slot: usize) {
        if let Some(generation) = self.generations.get_mut(slot) {
            *generation += 1;
        }
    }

    fn judge_condition(&self, key: &str, before: Option<&Option<State>>, outcome: Outcome, why: &str) {
        let broken = match (before, outcome) {
            (Some(Some(_)), Outcome::Acknowledged) => "If-None-Match: * was acknowledged where there was an object",
            (Some(None), Outcome::Refused) if why.starts_with("412") => {
                "If-None-Match: * was refused where there was no object"
            }
            _ => return,
        };
        self.load.tally.find(Finding::ConditionBroken, key, broken.to_owned());
    }

    async fn copy(&mut self, slot: usize, key: String) -> Result<(), Failure> {
        let source_slot = self.rng.random_range(0..self.generations.len());
        let from = self.key(source_slot);
        let source = self.histories.get(&from).and_then(History::exact).flatten().cloned();
        match source {
            Some(state) if from != key => {
                let effect = Effect::Becomes(state);
                if self.write(slot, Write { how: How::CopyOf(from), effect, key }).await? {
                    // A copy that lands late would copy what the source holds by then.
                    self.give_up(source_slot);
                }
                Ok(())
            }
            _ => {
                self.read(&from, None).await;
                Ok(())
            }
        }
    }

    /// DeleteObjects; each key is answered by itself.
    async fn delete_several(&mut self) -> Result<(), Failure> {
        let first = self.rng.random_range(0..self.generations.len());
        let slots: Vec<_> = (first..self.generations.len()).take(AT_ONCE).collect();
        let keys: Vec<_> = slots.iter().map(|&slot| self.key(slot)).collect();
        let writes: Vec<_> = keys.iter().map(|key| (key.as_str(), &Effect::Gone)).collect();
        let ids = self.load.ledger.begin(&writes).await?;
        let objects =
            keys.iter().map(|key| ObjectIdentifier::builder().key(key).build()).collect::<Result<Vec<_>, _>>();
        let delete = objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).build());
        let delete = delete.map_err(|error| Failure::new(format!("DeleteObjects: {error}")))?;
        let answer = s3::sort(self.next().delete_objects().bucket(&self.load.bucket).delete(delete).send().await);
        self.load.tally.count("delete several", answer.answered());
        let outcome_of = |key: &str| match &answer {
            Answer::Done(done) if done.deleted().iter().any(|deleted| deleted.key() == Some(key)) => {
                Outcome::Acknowledged
            }
            Answer::Refused { .. } => Outcome::Refused,
            _ => Outcome::Unknown,
        };
        let outcomes: Vec<_> = keys.iter().map(|key| outcome_of(key)).collect();
        self.load.ledger.end(&ids.into_iter().zip(outcomes.iter().copied()).collect::<Vec<_>>()).await?;
        for ((key, slot), outcome) in keys.into_iter().zip(slots).zip(outcomes) {
            self.histories.entry(key).or_default().end(&Effect::Gone, outcome);
            match outcome {
                Outcome::Acknowledged => self.load.tally.acknowledged(),
                Outcome::Unknown => self.give_up(slot),
                Outcome::Refused => {}
            }
        }
        Ok(())
    }

    async fn read(&mut self, key: &str, range: Option<(usize, usize)>) {
        let s3 = self.next();
        let answer = s3::read(&s3, &self.load.bucket, key, range).await;
        self.load.tally.count(if range.is_some() { "get range" } else { "get" }, answer.answered());
        let Answer::Done((read, is_marked)) = answer else { return tokio::time::sleep(FIRST_PAUSE).await };
        let untouched = History::default();
        let verdict = self.histories.get(key).unwrap_or(&untouched).judge(self.load.seed, seen(&read));
        if is_marked {
            self.load.tally.marked_stale();
        }
        let finding = match verdict {
            Verdict::Fine => return,
            Verdict::Wrong => Finding::Wrong,
            _ if is_marked => return,
            Verdict::Lost => Finding::Lost,
            Verdict::Resurrected => Finding::Resurrected,
            Verdict::Old => Finding::StaleNotMarked,
        };
        self.load.tally.find(finding, key, format!("{} through the gateway, range {range:?}", describe(&read)));
    }

    /// A listing of its own keys shows those that are there, with their sizes, and no other.
    async fn list(&mut self) {
        let s3 = self.next();
        let prefix = format!("{}c{}/", self.load.prefix, self.number);
        let listed = s3::list(&s3, &self.load.bucket, &prefix).await;
        self.load.tally.count("list", listed.answered());
        let Answer::Done((listed, is_marked)) = listed else { return tokio::time::sleep(FIRST_PAUSE).await };
        if is_marked {
            self.load.tally.marked_stale();
        }
        for (finding, key, detail) in judge_listing(&self.histories, &listed, is_marked) {
            self.load.tally.find(finding, key, detail);
        }
    }
}

/// What is wrong with a listing, by key. One that is marked as stale may be old; also in it is no key that was never written.
fn judge_listing<'a>(
    histories: &'a BTreeMap<String, History>,
    listed: &'a BTreeMap<String, usize>,
    is_marked: bool,
) -> Vec<(Finding, &'a str, String)> {
    let of_now = histories.iter().filter(|_| !is_marked).filter_map(|(key, history)| {
        let (finding, detail) = match (history.exact()?, listed.get(key)) {
            (Some(_), None) => (Finding::Lost, "not in a listing".to_owned()),
            (None, Some(_)) => (Finding::Resurrected, "in a listing".to_owned()),
            (Some(state), Some(size)) if state.content.size != *size => {
                (Finding::StaleNotMarked, format!("a listing shows {size} bytes of {}", state.content.size))
            }
            _ => return None,
        };
        Some((finding, key.as_str(), detail))
    });
    let strangers = listed.keys().filter(|key| !histories.contains_key(*key));
    let wrong = strangers.map(|key| (Finding::Wrong, key.as_str(), "in a listing, and never written".to_owned()));
    of_now.chain(wrong).collect()
}

/// Puts the endpoint that was used last behind all others.
fn turn(next: &mut S3, others: &mut VecDeque<S3>) {
    if let Some(first) = others.pop_front() {
        others.push_back(std::mem::replace(next, first));
    }
}

/// As a history judges it.
pub fn seen(read: &Read) -> Seen<'_> {
    match read {
        Read::Nothing => Seen::Nothing,
        Read::Bytes { offset, total, bytes } => Seen::Bytes { offset: *offset, total: *total, bytes },
    }
}

/// For evidence.
pub fn describe(read: &Read) -> String {
    match read {
        Read::Nothing => "nothing".into(),
        Read::Bytes { total, .. } => format!("an object of {total} bytes"),
    }
}

fn answered(outcome: Outcome, why: &str) -> Answered<'_> {
    match outcome {
        Outcome::Acknowledged => Answered::Yes,
        Outcome::Refused => Answered::Refused,
        Outcome::Unknown => Answered::No(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(effects: &[Effect]) -> History {
        let mut history = History::default();
        for effect in effects {
            history.begin(effect);
            history.end(effect, Outcome::Acknowledged);
        }
        history
    }

    #[test]
    fn a_marked_listing_may_be_old_and_never_wrong() {
        let put = |key: &str, size| {
            Effect::Becomes(State { content: Content { key: key.to_owned(), version: size as u64, size }, tag: None })
        };
        let histories: BTreeMap<String, History> = [
            ("a", history(&[put("a", 1)])),
            ("b", history(&[put("b", 1), put("b", 2)])),
            ("c", history(&[put("c", 1), Effect::Gone])),
        ]
        .map(|(key, history)| (key.to_owned(), history))
        .into();
        use Finding::{Lost, Resurrected, StaleNotMarked, Wrong};
        for (listed, want, want_of_marked) in [
            (&[("a", 1), ("b", 2)][..], vec![], vec![]),
            (&[("b", 2)], vec![(Lost, "a")], vec![]),
            (&[("a", 1), ("b", 1)], vec![(StaleNotMarked, "b")], vec![]),
            (&[("a", 1), ("b", 2), ("c", 1)], vec![(Resurrected, "c")], vec![]),
            (&[("b", 2), ("z", 1)], vec![(Lost, "a"), (Wrong, "z")], vec![(Wrong, "z")]),
        ] {
            let listed: BTreeMap<String, usize> = listed.iter().map(|(key, size)| ((*key).to_owned(), *size)).collect();
            for (is_marked, want) in [(false, want), (true, want_of_marked)] {
                let found = judge_listing(&histories, &listed, is_marked);
                let found: Vec<_> = found.iter().map(|(finding, key, _)| (*finding, *key)).collect();
                assert_eq!(found, want, "{listed:?}, marked: {is_marked}");
            }
        }
    }
}

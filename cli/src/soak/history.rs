//! What may be true of a key, from what was begun and what was answered; and what a reader makes of what it sees there.
//! Invariant: a write without an answer counts as done and as not done, until the same write is answered.
use super::content::Content;
use serde::{Deserialize, Serialize};

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its bytes.
    pub content: Content,
    /// The value of its one tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<u64>,
}

/// What a write does to its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The object is this one from then on.
    Becomes(State),
    /// The object is gone.
    Gone,
    /// The object that is there has this tag.
    Tagged(u64),
}

/// How a write was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With success.
    Acknowledged,
    /// With a refusal that says that nothing was done.
    Refused,
    /// Not, or with an error that leaves it open.
    Unknown,
}

/// What a reader met at a key.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// NoSuchKey.
    Nothing,
    /// Bytes from an offset on, of an object of `total`.
    Bytes { offset: usize, total: usize, bytes: &'a [u8] },
}

/// What that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it may be.
    Fine,
    /// An acknowledged object is not there.
    Lost,
    /// A deleted object is there.
    Resurrected,
    /// An earlier object is in the place of an acknowledged one.
    Old,
    /// Bytes that were never written to the key.
    Wrong,
}

/// One key's.
#[derive(Clone, Debug)]
pub struct History {
    allowed: Vec<Option<State>>,
    /// Everything that was ever sent there.
    sent: Vec<Content>,
}

impl Default for History {
    fn default() -> Self {
        Self { allowed: vec![None], sent: Vec::new() }
    }
}

impl History {
    /// A write is about to be sent: from now on it may have happened.
    pub fn begin(&mut self, effect: &Effect) {
        if let Effect::Becomes(state) = effect
            && !self.sent.contains(&state.content)
        {
            self.sent.push(state.content.clone());
        }
    }

    /// The end of a write that was begun.
    pub fn end(&mut self, effect: &Effect, outcome: Outcome) {
        let after = self.allowed.iter().map(|before| apply(effect, before.as_ref()));
        let mut allowed: Vec<_> = match outcome {
            Outcome::Acknowledged => after.collect(),
            Outcome::Refused => return,
            Outcome::Unknown => self.allowed.iter().cloned().chain(after).collect(),
        };
        let mut distinct = Vec::with_capacity(allowed.len());
        for state in allowed.drain(..) {
            if !distinct.contains(&state) {
                distinct.push(state);
            }
        }
        self.allowed = distinct;
    }

    /// What is at the key, where there is no doubt.
    pub fn exact(&self) -> Option<Option<&State>> {
        match self.allowed.as_slice() {
            [only] => Some(only.as_ref()),
            _ => None,
        }
    }

    /// Everything that may be there.
    pub fn allowed(&self) -> &[Option<State>] {
        &self.allowed
    }

    /// Judges what was seen.
    pub fn judge(&self, seed: u64, seen: Seen<'_>) -> Verdict {
        let Seen::Bytes { offset, total, bytes } = seen else {
            return if self.allowed.contains(&None) { Verdict::Fine } else { Verdict::Lost };
        };
        let is = |content: &Content| content.holds(seed, offset, total, bytes);
        if self.allowed.iter().flatten().any(|state| is(&state.content)) {
            Verdict::Fine
        } else if !self.sent.iter().any(is) {
            Verdict::Wrong
        } else if self.allowed.iter().all(Option::is_none) {
            Verdict::Resurrected
        } else {
            Verdict::Old
        }
    }
}

fn apply(effect: &Effect, before: Option<&State>) -> Option<State> {
    match effect {
        Effect::Becomes(state) => Some(state.clone()),
        Effect::Gone => None,
        Effect::Tagged(tag) => before.map(|state| State { content: state.content.clone(), tag: Some(*tag) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 3;

    fn content(version: u64) -> Content {
        Content { key: "k".into(), version, size: 40 }
    }
    fn put(version: u64) -> Effect {
        Effect::Becomes(State { content: content(version), tag: None })
    }
    fn history(writes: &[(Effect, Outcome)]) -> History {
        let mut history = History::default();
        for (effect, outcome) in writes {
            history.begin(effect);
            history.end(effect, *outcome);
        }
        history
    }
    fn judge(history: &History, version: Option<u64>) -> Verdict {
        let bytes = version.map(|version| content(version).bytes(SEED, 0, 40));
        history.judge(SEED, bytes.as_ref().map_or(Seen::Nothing, |bytes| Seen::Bytes { offset: 0, total: 40, bytes }))
    }

    #[test]
    fn what_is_seen_is_judged_by_what_was_answered() {
        use Outcome::{Acknowledged, Refused, Unknown};
        use Verdict::{Fine, Lost, Old, Resurrected, Wrong};
        // Each row: the writes, and what it means to see nothing, version 1, version 2, version 9.
        for (writes, want) in [
            (vec![], [Fine, Wrong, Wrong, Wrong]),
            (vec![(put(1), Acknowledged)], [Lost, Fine, Wrong, Wrong]),
            (vec![(put(1), Acknowledged), (put(2), Acknowledged)], [Lost, Old, Fine, Wrong]),
            (vec![(put(1), Acknowledged), (put(2), Unknown)], [Lost, Fine, Fine, Wrong]),
            (vec![(put(1), Acknowledged), (put(2), Unknown), (put(2), Acknowledged)], [Lost, Old, Fine, Wrong]),
            (vec![(put(1), Acknowledged), (put(2), Refused)], [Lost, Fine, Old, Wrong]),
            (vec![(put(1), Acknowledged), (Effect::Gone, Acknowledged)], [Fine, Resurrected, Wrong, Wrong]),
            (vec![(put(1), Acknowledged), (Effect::Gone, Unknown)], [Fine, Fine, Wrong, Wrong]),
            (vec![(put(1), Unknown)], [Fine, Fine, Wrong, Wrong]),
        ] {
            let history = history(&writes);
            let got = [None, Some(1), Some(2), Some(9)].map(|version| judge(&history, version));
            assert_eq!(got, want, "{writes:?}");
        }
    }

    #[test]
    fn a_tag_belongs_to_the_object_that_is_there() {
        let tagged = (Effect::Tagged(5), Outcome::Unknown);
        let doubtful = history(&[(put(1), Outcome::Acknowledged), tagged.clone()]);
        let tags = |history: &History| history.allowed().iter().flatten().map(|state| state.tag).collect::<Vec<_>>();
        assert_eq!(tags(&doubtful), [None, Some(5)]);
        assert!(doubtful.exact().is_none());
        let sure = history(&[(put(1), Outcome::Acknowledged), tagged, (Effect::Tagged(5), Outcome::Acknowledged)]);
        assert_eq!(tags(&sure), [Some(5)]);
        assert!(history(&[(Effect::Tagged(5), Outcome::Acknowledged)]).exact().is_some_and(|state| state.is_none()));
    }
}

//! What a queue knows of the one key, and what it does with it.
use super::flaw::Flaw;

pub(super) const WRITERS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Lease {
    None,
    Alive,
    RanOut,
}

/// The numbers name claims; waiting and delayed jobs count as queued, as when a job is due is no matter of safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Job {
    Queued,
    Claimed(u8),
    Stale(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub(super) sequence: u8,
    pub(super) job: Job,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct QueueState {
    pub(super) record: Option<Record>,
    pub(super) leases: [Lease; WRITERS],
    pub(super) last_number: u8,
    /// Another process answers than the one at the beginning. Nobody asks for that; it tells what may land.
    pub(super) is_restarted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) queue: usize,
    pub(super) number: u8,
    pub(super) sequence: u8,
    /// Of which process.
    pub(super) is_of_restarted: bool,
}

impl QueueState {
    pub(super) fn next_number(&mut self) -> u8 {
        self.last_number += 1;
        self.last_number
    }

    /// What intent, commit and mark have in common: the sequence rises, a job exists.
    pub(super) fn mark(&mut self) {
        let sequence = self.next_number();
        let job = self.record.map_or(Job::Queued, |record| record.job);
        self.record = Some(Record { sequence, job });
    }

    /// The claim that stands cannot clear the key.
    pub(super) fn raise_claimed(&mut self) {
        if self.record.is_some_and(|record| record.job != Job::Queued) {
            self.mark();
        }
    }

    pub(super) fn claim(&mut self, queue: usize) -> Option<Claim> {
        let record = self.record.filter(|record| !matches!(record.job, Job::Claimed(_)))?;
        let number = self.next_number();
        self.record = Some(Record { job: Job::Claimed(number), ..record });
        for lease in &mut self.leases {
            if *lease == Lease::RanOut {
                *lease = Lease::None;
            }
        }
        Some(Claim { queue, number, sequence: record.sequence, is_of_restarted: self.is_restarted })
    }

    /// Whether a clear by this claim would count: nobody has claimed the job since.
    pub(super) fn holds(&self, claim: &Claim) -> bool {
        self.record.is_some_and(|record| [Job::Claimed(claim.number), Job::Stale(claim.number)].contains(&record.job))
    }

    pub(super) fn stands(&self, claim: &Claim) -> bool {
        self.record.is_some_and(|record| record.job == Job::Claimed(claim.number))
    }

    pub(super) fn clear(&mut self, claim: &Claim, flaw: Flaw) {
        let Some(record) = self.record else { return };
        if !self.holds(claim) && flaw != Flaw::ClearIgnoresClaims {
            return;
        }
        let unchanged = record.sequence == claim.sequence || flaw == Flaw::ClearIgnoresSequence;
        let nobody_writes = match flaw {
            Flaw::ClearIgnoresLeases => true,
            Flaw::ClearForgetsExpiredLeases => !self.leases.contains(&Lease::Alive),
            _ => self.leases == [Lease::None; WRITERS],
        };
        self.record = if unchanged && nobody_writes { None } else { Some(Record { job: Job::Queued, ..record }) };
    }
}

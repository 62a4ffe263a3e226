//! A Redis that is restarted and has forgotten what it was told last: what it does not know proves nothing until a walk has been over
//! all keys, which begins when nothing can land any more that only the process before knew of.
use super::flaw::Flaw;
use super::queue::{Claim, Lease, QueueState};
use super::{Action, PRIMARY, Protocol, State};

/// What the primary remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Memory {
    /// Everything, always.
    Whole,
    /// This, if it is restarted now.
    Saved(QueueState),
    /// It was restarted; writes and copies may yet land that it does not know of.
    Unsettled,
    /// They may not.
    Settled,
    /// The walk has been over the key.
    Walked,
}

impl Memory {
    pub(super) fn is_suspect(self) -> bool {
        matches!(self, Self::Unsettled | Self::Settled)
    }

    /// Whether the claim may hold once more after a restart.
    pub(super) fn may_hold(self, claim: &Claim) -> bool {
        matches!(self, Self::Saved(saved) if claim.queue == PRIMARY && saved.holds(claim))
    }

    pub(super) fn saved_mut(&mut self) -> Option<&mut QueueState> {
        match self {
            Self::Saved(saved) => Some(saved),
            _ => None,
        }
    }
}

impl Protocol {
    pub(super) fn restart_actions(&self, state: &State, actions: &mut Vec<Action>) {
        match state.memory {
            Memory::Saved(_) => actions.extend([Action::Save, Action::Restart]),
            Memory::Unsettled if self.flaw == Flaw::WalkIsEarly => actions.push(Action::Walk),
            Memory::Unsettled => actions.push(Action::Settle),
            Memory::Settled => actions.push(Action::Walk),
            Memory::Whole | Memory::Walked => {}
        }
    }
}

impl State {
    pub(super) fn step_restart(&mut self, action: &Action, flaw: Flaw) {
        let primary = &mut self.queues[PRIMARY];
        match (action, self.memory) {
            (Action::Save, _) => self.memory = Memory::Saved(QueueState { last_number: 0, ..*primary }),
            (Action::Restart, Memory::Saved(saved)) => {
                // Numbers follow the clock: none is given out twice.
                *primary = QueueState { last_number: primary.last_number, is_restarted: true, ..saved };
                self.memory = Memory::Unsettled;
            }
            (Action::Settle, _) => {
                self.memory = Memory::Settled;
                for (writer, lease) in self.writers.iter_mut().zip(primary.leases) {
                    writer.in_flight &= lease == Lease::Alive;
                }
                // Whoever claimed before may have looked before something landed.
                if flaw != Flaw::SettlesBesideClaims {
                    primary.raise_claimed();
                }
            }
            (Action::Walk, _) => {
                self.memory = Memory::Walked;
                // What is dirty is converged anyway.
                if primary.record.is_none() && self.home != self.replica {
                    primary.mark();
                }
            }
            _ => {}
        }
    }
}

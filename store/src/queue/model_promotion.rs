//! Explores how a replica becomes home: proxies with views that run out, workers, a queue that may forget, planned and forced
//! promotions, stranded keys and their repatriation. One key, two writes, two places.
//!
//! Beside [`super::model`], which shows that a mark is not cleared too early: here a clear is right by itself, and the
//! question is what an epoch's end does to writes, copies and reads. What that model assumes of a frozen proxy is not assumed
//! here: a write may land after its lease; it is only not acknowledged then.
use super::model_promotion_state::*;
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::time::Duration;

impl Protocol {
    fn is_checked(&self, flaw: Flaw) -> bool {
        self.flaw != flaw
    }

    fn proxy_actions(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let proxy = &state.proxies[at];
        if proxy.view != state.control || !proxy.is_fresh {
            actions.push(Action::ReadFeed { at });
        }
        if proxy.is_fresh {
            actions.push(Action::ViewRunsOut { at });
        }
        let may_write = proxy.view.writes == Writes::Taken || !self.is_checked(Flaw::ReleaseIgnoresStop);
        match proxy.write {
            // The proxies differ by name only, so the first to write may as well be the first.
            Write::Idle if at > 0 && state.proxies[at - 1].write == Write::Idle => {}
            Write::Idle if proxy.is_fresh && proxy.view.writes == Writes::Taken => {
                let is_alone = matches!(state.worker, Worker::Bringing { .. });
                if !is_alone || !self.is_checked(Flaw::ComparesBesideWrites) {
                    actions.push(Action::Mark { at });
                }
            }
            Write::Marked(epoch) => {
                let is_current = proxy.view.epoch == epoch && may_write;
                let is_fresh = proxy.is_fresh || !self.is_checked(Flaw::ReleaseIgnoresView);
                if is_current && is_fresh {
                    actions.push(Action::Release { at });
                }
            }
            Write::Released(_) => actions.push(Action::Land { at }),
            Write::Landed(_) => actions.push(Action::Commit { at }),
            Write::Committed(epoch) => {
                let is_quiet = proxy.view.writes == Writes::Taken && !state.met_stranded[at];
                let stands = is_quiet || state.leases[at] == Lease::Alive;
                if (proxy.is_fresh && proxy.view.epoch == epoch && stands) || !self.is_checked(Flaw::AnswersBlindly) {
                    actions.push(Action::Answer { at });
                }
            }
            Write::Idle | Write::Answered => {}
        }
        if state.leases[at] == Lease::Alive {
            actions.push(Action::LeaseRunsOut { at });
        }
    }

    fn worker_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let control = &state.control;
        match state.worker {
            Worker::Idle if state.is_dirty => actions.push(Action::Claim),
            Worker::Claimed { epoch }
                if epoch == control.epoch && control.writes != Writes::Fenced && state.can_reach(control.home) =>
            {
                actions.push(Action::See);
            }
            Worker::Seen { epoch, .. } => {
                let stands = epoch == control.epoch && control.writes != Writes::Fenced;
                if stands || !self.is_checked(Flaw::WorkerIgnoresEpoch) {
                    actions.push(Action::BeginCopy);
                }
            }
            Worker::Bringing { .. } => actions.push(Action::Bring),
            Worker::Copying { .. } => actions.push(Action::Copy),
            Worker::Copied { .. } => actions.push(Action::Clear),
            Worker::Idle | Worker::Claimed { .. } => {}
        }
        if state.worker != Worker::Idle {
            actions.push(Action::WorkerDies);
        }
        if state.is_suspect && !state.is_away && control.home == OLD {
            actions.push(Action::Reconcile);
        }
    }

    /// The driver of the promotion. Views that do not know of a change hold it up until they have run out.
    fn promotion_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let all_know = state.proxies.iter().all(|proxy| proxy.view == state.control || !proxy.is_fresh);
        let is_quiet = !state.is_dirty && !state.is_suspect;
        let copies_ended = !matches!(state.worker, Worker::Copying { .. }) || !self.is_checked(Flaw::MovesWhileCopying);
        match (state.promotion, self.forced) {
            (Promotion::None, _) => actions.push(Action::Fence),
            (Promotion::Fenced, false) => {
                if (all_know || !self.is_checked(Flaw::MovesUnknown))
                    && (is_quiet || !self.is_checked(Flaw::MovesDirty))
                {
                    actions.push(Action::Look);
                }
                actions.push(Action::GiveUp);
            }
            (Promotion::Fenced, true) => {
                if (all_know || !self.is_checked(Flaw::MovesUnknown)) && copies_ended {
                    actions.push(Action::Look);
                }
            }
            (Promotion::Looked, _) => actions.push(Action::Move),
            (Promotion::Moved, _) => {
                if all_know || !self.is_checked(Flaw::OpensUnknown) {
                    actions.push(Action::Open);
                }
            }
            (Promotion::Open, _) => {}
        }
    }

    fn step(&self, state: &mut State, action: Action) {
        match action {
            Action::ReadFeed { at } => {
                state.proxies[at].view = state.control;
                state.proxies[at].is_fresh = true;
            }
            Action::ViewRunsOut { at } => state.proxies[at].is_fresh = false,
            Action::Mark { at } => {
                state.mark();
                state.leases[at] = Lease::Alive;
                state.met_stranded[at] = state.stranded != Stranded::None;
                state.proxies[at].write = Write::Marked(state.proxies[at].view.epoch);
                state.follows_other = state.follows_other || (at == 1 && state.proxies[0].write == Write::Answered);
            }
            Action::Release { at } => {
                if let Write::Marked(epoch) = state.proxies[at].write {
                    state.has_strayed |= epoch != state.control.epoch;
                    state.proxies[at].write = Write::Released(epoch);
                }
            }
            Action::Land { at } => {
                if let Write::Released(epoch) = state.proxies[at].write {
                    state.places[home_in(epoch)] = value_of(at);
                    state.proxies[at].write = Write::Landed(epoch);
                }
            }
            Action::Commit { at } => {
                if let Write::Landed(epoch) = state.proxies[at].write {
                    if state.stranded == Stranded::Open && epoch > 0 {
                        state.stranded = Stranded::Overwritten;
                    }
                    state.mark();
                    state.proxies[at].write = Write::Committed(epoch);
                }
            }
            Action::Answer { at } => {
                state.leases[at] = Lease::None;
                state.proxies[at].write = Write::Answered;
            }
            Action::LeaseRunsOut { at } => state.leases[at] = Lease::RanOut,
            Action::Forget => {
                state.is_dirty = false;
                state.leases = [Lease::None; 2];
                state.worker = Worker::Idle;
                state.has_forgotten = true;
                state.is_suspect = self.is_checked(Flaw::TrustsAfterLoss);
            }
            Action::Back => state.is_away = false,
            Action::Claim => {
                for lease in &mut state.leases {
                    if *lease == Lease::RanOut {
                        *lease = Lease::None;
                    }
                }
                state.worker = Worker::Claimed { epoch: state.control.epoch };
                state.is_marked_since = false;
            }
            Action::See => self.see(state),
            Action::Bring => {
                if let Worker::Bringing { epoch, old, new } = state.worker {
                    state.places[NEW] = old;
                    self.keep(state, new);
                    state.stranded = Stranded::None;
                    state.worker = Worker::Seen { epoch, value: old };
                }
            }
            Action::BeginCopy => {
                if let Worker::Seen { epoch, value } = state.worker {
                    state.worker = Worker::Copying { epoch, value };
                }
            }
            Action::Copy => {
                if let Worker::Copying { epoch, value } = state.worker {
                    state.places[1 - home_in(epoch)] = value;
                    state.worker = Worker::Copied { epoch };
                }
            }
            Action::Clear => {
                state.is_dirty = state.is_marked_since || state.leases != [Lease::None; 2];
                state.worker = Worker::Idle;
            }
            Action::WorkerDies => state.worker = Worker::Idle,
            Action::Reconcile => {
                state.is_dirty |= state.places[OLD] != state.places[NEW];
                state.is_suspect = false;
            }
            Action::Fence => {
                state.promotion = Promotion::Fenced;
                state.control.writes = if self.forced { Writes::Fenced } else { Writes::Stopped };
            }
            Action::GiveUp => {
                state.promotion = Promotion::None;
                state.control.writes = Writes::Taken;
            }
            Action::Look => {
                if self.forced && (state.is_dirty || state.is_suspect) && self.is_checked(Flaw::StrandsNothing) {
                    state.stranded = Stranded::Open;
                    state.mark();
                }
                state.promotion = Promotion::Looked;
            }
            Action::Move => {
                state.control = Control { home: NEW, epoch: 1, writes: Writes::Stopped };
                state.promotion = Promotion::Moved;
            }
            Action::Open => {
                state.control.writes = Writes::Taken;
                state.promotion = Promotion::Open;
            }
        }
    }

    fn keep(&self, state: &mut State, value: u8) {
        match self.is_checked(Flaw::KeepsNothing) {
            true => state.kept |= 1 << value,
            false => state.has_dropped |= value != 0,
        }
    }

    /// A worker looks at the home. A stranded key is compared first, for which both places must answer.
    fn see(&self, state: &mut State) {
        let Worker::Claimed { epoch } = state.worker else { return };
        if state.stranded != Stranded::None && self.is_checked(Flaw::ConvergesStranded) {
            let is_alone = !state.leases.contains(&Lease::Alive) || !self.is_checked(Flaw::ComparesBesideWrites);
            if state.is_away || !is_alone {
                return;
            }
            let (old, new) = (state.places[OLD], state.places[NEW]);
            let is_overwritten = state.stranded == Stranded::Overwritten || state.is_dated_later(new);
            let new_is_newer = is_overwritten && self.is_checked(Flaw::OldHomeWins);
            if !new_is_newer {
                state.worker = Worker::Bringing { epoch, old, new };
                return;
            }
            self.keep(state, old);
            state.stranded = Stranded::None;
        }
        state.worker = Worker::Seen { epoch, value: state.places[state.control.home] };
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let here = State::new();
        if self.forced { vec![State { is_away: true, ..here.clone() }, here] } else { vec![here] }
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for at in 0..2 {
            self.proxy_actions(state, at, actions);
        }
        self.worker_actions(state, actions);
        self.promotion_actions(state, actions);
        if self.forgets && !state.has_forgotten && state.promotion == Promotion::None {
            actions.push(Action::Forget);
        }
        if state.is_away {
            actions.push(Action::Back);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.step(&mut next, action);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LOST, |_, state: &State| {
                let settled = !state.is_dirty && !state.is_suspect && state.stranded == Stranded::None;
                !settled || (0..2).all(|at| state.is_safe(at, state.places[state.control.home]))
            }),
            Property::always(DROPPED, |_, state: &State| !state.has_dropped),
            Property::always(STRAYED, |_, state: &State| !state.has_strayed),
            Property::always(STALE, |_, state: &State| {
                state.proxies.iter().filter(|proxy| proxy.is_fresh).all(|proxy| state.reads_right(proxy.view))
            }),
            Property::always(FAILOVER, |_, state: &State| {
                let is_served = !state.is_dirty && !state.is_suspect && state.stranded == Stranded::None;
                !is_served || state.is_current(state.places[1 - state.control.home])
            }),
            Property::sometimes(
                "a promotion is over, and both writes are answered and converged",
                |_, state: &State| {
                    state.promotion == Promotion::Open
                        && !state.is_dirty
                        && state.proxies.iter().all(|proxy| proxy.write == Write::Answered)
                        && state.places[OLD] == state.places[NEW]
                },
            ),
        ]
    }
}

const LOST: &str = "no acknowledged write is lost: it is at the home, overwritten, or stands aside";
const DROPPED: &str = "nothing that loses against a stranded key is dropped";
const STRAYED: &str = "no write leaves for a home that is none any more";
const STALE: &str = "no read at what a view calls home misses an acknowledged write";
const FAILOVER: &str = "no read of a clean key at a replica misses an acknowledged write";

fn check_holds(forced: bool, forgets: bool) {
    let start = std::time::Instant::now();
    let checker = Protocol { flaw: Flaw::None, forced, forgets }.checker().threads(2).spawn_bfs().join();
    assert!(checker.is_done(), "the exploration was cut short");
    println!("forced {forced}, forgets {forgets}: {} states in {:?}", checker.unique_state_count(), start.elapsed());
    checker.assert_properties();
}

fn check_caught(flaw: Flaw, forced: bool, properties: &[&'static str]) {
    let checker = Protocol { flaw, forced, forgets: flaw == Flaw::TrustsAfterLoss }
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(Duration::from_secs(60))
        .spawn_bfs()
        .join();
    let path = properties.iter().find_map(|property| checker.discovery(property));
    println!("{flaw:?}: {:?}", path.unwrap_or_else(|| panic!("{flaw:?} was not caught")).into_actions());
}

#[test]
fn a_planned_promotion_loses_nothing() {
    check_holds(false, false);
}

#[test]
fn a_planned_promotion_loses_nothing_though_the_queue_forgets() {
    check_holds(false, true);
}

#[test]
fn a_forced_promotion_loses_nothing() {
    check_holds(true, false);
}

#[test]
fn a_forced_promotion_loses_nothing_though_the_queue_forgets() {
    check_holds(true, true);
}

#[test]
fn every_missing_guard_of_a_promotion_is_caught() {
    let any = &[LOST, DROPPED, STRAYED, STALE, FAILOVER];
    for flaw in [
        Flaw::ReleaseIgnoresView,
        Flaw::ReleaseIgnoresStop,
        Flaw::AnswersBlindly,
        Flaw::MovesUnknown,
        Flaw::MovesDirty,
        Flaw::OpensUnknown,
        Flaw::TrustsAfterLoss,
    ] {
        check_caught(flaw, false, any);
    }
    for flaw in [
        Flaw::WorkerIgnoresEpoch,
        Flaw::MovesWhileCopying,
        Flaw::StrandsNothing,
        Flaw::ConvergesStranded,
        Flaw::ComparesBesideWrites,
        Flaw::OldHomeWins,
        Flaw::KeepsNothing,
    ] {
        check_caught(flaw, true, any);
    }
}

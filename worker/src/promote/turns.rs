//! Which promotions no worker is at. One that is at a promotion changes its turn all the while; the others go by their own count of how long
//! that has stood still, and take no other's clock for it.
use s3gateway_store::{Millis, Promotion, PromotionState};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The turn at a promotion that was given back, or never taken.
pub(super) const NOBODYS: Millis = 0;
/// How long a turn stands without a sign of life while writes are stopped.
const STOPPED_STANDS: Duration = Duration::from_secs(5);

/// Between two signs of life.
pub(super) fn pause(lease: Duration) -> Duration {
    STOPPED_STANDS.min(lease) / 3
}

/// The turns at promotions that run, and since when this worker has seen each as it is.
#[derive(Default)]
pub(super) struct SeenTurns(HashMap<String, (Millis, Instant)>);

impl SeenTurns {
    /// Leaves, of those that run, the ones that nobody is at. `lease`: how long a turn stands while writes are taken.
    pub(super) fn retain_free(&mut self, running: &mut Vec<Promotion>, lease: Duration, now: Instant) {
        self.0.retain(|id, _| running.iter().any(|promotion| promotion.id == *id));
        running.retain(|Promotion { id, turn, state, .. }| {
            let (seen, since) = self.0.entry(id.clone()).or_insert((*turn, now));
            if seen != turn {
                (*seen, *since) = (*turn, now);
            }
            *turn == NOBODYS || now.saturating_duration_since(*since) >= stands_for(*state, lease)
        });
    }
}

fn stands_for(state: PromotionState, lease: Duration) -> Duration {
    match state {
        PromotionState::Fencing | PromotionState::Moved => STOPPED_STANDS.min(lease),
        PromotionState::Preparing | PromotionState::Done | PromotionState::Failed => lease,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PromotionState::{Fencing, Moved, Preparing};
    use s3gateway_config::BackendId;
    use s3gateway_store::BucketId;

    const LEASE: Duration = Duration::from_secs(60);
    const AHEAD: Millis = Millis::MAX;

    fn running(turn: Millis, state: PromotionState) -> Promotion {
        let backend = BackendId::parse("de-fra").unwrap();
        Promotion {
            id: "p".to_owned(),
            bucket: BucketId::new("b"),
            source: backend.clone(),
            target: backend,
            epoch: 1,
            forced: false,
            state,
            detail: String::new(),
            fence: 1,
            begun_at: 1,
            fenced_at: 1,
            ended_at: 0,
            turn,
        }
    }

    #[test]
    fn a_turn_that_stands_still_for_long_enough_is_nobodys() {
        let began = Instant::now();
        // Seconds, the turn and the state that are seen then, and whether the promotion is free.
        for looks in [
            vec![(0, NOBODYS, Preparing, true), (1, 5, Preparing, false), (60, 5, Preparing, false)],
            vec![(0, 5, Preparing, false), (59, 5, Preparing, false), (60, 5, Preparing, true)],
            vec![(0, AHEAD, Fencing, false), (4, AHEAD, Fencing, false), (5, AHEAD, Fencing, true)],
            vec![(0, 5, Moved, false), (5, 5, Moved, true)],
            vec![(0, 5, Preparing, false), (3, 6, Fencing, false), (7, 7, Moved, false), (11, 8, Moved, false)],
            // A worker whose clock is behind has taken it over.
            vec![(0, AHEAD, Fencing, false), (5, 5, Fencing, false), (9, 5, Fencing, false), (10, 5, Fencing, true)],
            vec![(0, 5, Fencing, false), (1, NOBODYS, Fencing, true)],
        ] {
            let mut seen = SeenTurns::default();
            for (second, turn, state, want) in &looks {
                let mut listed = vec![running(*turn, *state)];
                seen.retain_free(&mut listed, LEASE, began + Duration::from_secs(*second));
                assert_eq!(!listed.is_empty(), *want, "second {second} of {looks:?}");
            }
        }
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let (mut seen, now) = (SeenTurns::default(), Instant::now());
        seen.retain_free(&mut vec![running(5, Moved)], LEASE, now);
        seen.retain_free(&mut Vec::new(), LEASE, now);
        assert!(seen.0.is_empty());
    }

    #[test]
    fn signs_of_life_are_more_frequent_than_anybody_takes_a_turn_over() {
        for lease in [Duration::from_millis(900), LEASE] {
            assert!(pause(lease) * 3 <= stands_for(Fencing, lease) && pause(lease) * 3 <= stands_for(Preparing, lease));
        }
    }
}

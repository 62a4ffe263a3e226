//! What one worker knows of the shards, and which of them it asks next: those whose next key has waited longest.
//! Everything here may be wrong or old at no cost but a question in vain.
use crate::queue::Lane;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// One of this many parts of the others' shards is looked at by an idle worker each time.
const FOREIGN_PARTS: usize = 8;
/// Between two looks of a worker that attends: this for each shard that it holds, so that looking never becomes the load.
const LOOK_PAUSE_PER_SHARD: Duration = Duration::from_micros(100);
const LEAST_LOOK_PAUSE: Duration = Duration::from_millis(10);
/// A worker that always finds enough where it looked last looks round after this long.
const MOST_LOOK_PAUSE: Duration = Duration::from_secs(1);
/// However much its own shards have, a worker looks at a part of the others' after this long: there may be older keys.
const FOREIGN_PAUSE: Duration = Duration::from_secs(2);

/// What a shard said that it has, by lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen(pub(super) [SeenLane; 2]);

/// What a shard has in one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenLane {
    pub(super) ready: usize,
    pub(super) stale: usize,
    /// Since when the next one to be claimed is dirty.
    pub(super) oldest: i64,
}

impl Seen {
    fn of(&mut self, lane: Lane) -> &mut SeenLane {
        let Self([small, large]) = self;
        match lane {
            Lane::Small => small,
            Lane::Large => large,
        }
    }
}

/// One worker's view of the shards.
#[derive(Debug, Default)]
pub(super) struct Tour(Mutex<View>);

#[derive(Debug, Default)]
struct View {
    /// The shards that it holds; `None` for a worker that takes no part in the sharing: it asks all.
    held: Option<Vec<usize>>,
    seen: BTreeMap<usize, Seen>,
    foreign_part: usize,
    looked: Option<Instant>,
    looked_at_foreign: Option<Instant>,
}

impl Tour {
    fn view(&self) -> MutexGuard<'_, View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn held(&self) -> Vec<usize> {
        self.view().held.clone().unwrap_or_default()
    }

    pub(super) fn hold(&self, shards: Vec<usize>) {
        self.view().held = Some(shards);
    }

    /// The shards to look at, if it is time to look at any: its own, at times with some of the others', whose workers may be busy or stuck; and
    /// some of those if these have nothing. `wants_more`: what is known was not enough.
    pub(super) fn next_look(&self, now: Instant, wants_more: bool, count: usize) -> Option<(Vec<usize>, Vec<usize>)> {
        let mut view = self.view();
        let Some(held) = view.held.clone() else { return wants_more.then(|| ((0..count).collect(), Vec::new())) };
        let number = u32::try_from(held.len()).unwrap_or(u32::MAX);
        let pause = if wants_more { LOOK_PAUSE_PER_SHARD * number } else { MOST_LOOK_PAUSE };
        let pause = pause.max(LEAST_LOOK_PAUSE);
        if view.looked.is_some_and(|at| now.saturating_duration_since(at) < pause) {
            return None;
        }
        view.looked = Some(now);
        view.foreign_part = (view.foreign_part + 1) % FOREIGN_PARTS;
        let part = view.foreign_part;
        let foreign = (0..count).filter(|shard| shard % FOREIGN_PARTS == part && !held.contains(shard));
        if view.looked_at_foreign.is_some_and(|at| now.saturating_duration_since(at) < FOREIGN_PAUSE) {
            return Some((held.clone(), foreign.collect()));
        }
        view.looked_at_foreign = Some(now);
        Some((held.iter().copied().chain(foreign).collect(), Vec::new()))
    }

    pub(super) fn note(&self, seen: Vec<(usize, Seen)>) {
        let mut view = self.view();
        for (shard, seen) in seen {
            view.note(shard, seen);
        }
    }

    /// What is left of a shard after it was asked for `asked` jobs and gave `given`, the last of them dirty since `since`.
    pub(super) fn took(&self, shard: usize, lane: Lane, asked: usize, given: usize, since: Option<i64>) {
        let mut view = self.view();
        let Some(mut seen) = view.seen.get(&shard).copied() else { return };
        let left = seen.of(lane);
        left.ready = if given < asked { 0 } else { left.ready.saturating_sub(given) };
        left.stale = 0;
        left.oldest = since.unwrap_or(left.oldest);
        view.note(shard, seen);
    }

    /// Which shards to ask for how many of `limit` jobs, best first; none where nothing is known to be had.
    pub(super) fn choose(&self, lane: Lane, limit: usize) -> Vec<(usize, usize)> {
        let view = self.view();
        let known = view.seen.iter().map(|(shard, seen)| {
            let seen = *seen.clone().of(lane);
            (seen.oldest, *shard, seen.ready + seen.stale)
        });
        let mut best: Vec<(i64, usize, usize)> = known.filter(|(.., had)| *had > 0).collect();
        best.sort_unstable();
        best.truncate(limit);
        let mut room = limit;
        let mut ahead = best.len();
        let mut chosen = Vec::new();
        for (_, shard, had) in best {
            let share = room.div_ceil(ahead.max(1)).min(had).min(room);
            (room, ahead) = (room - share, ahead - 1);
            chosen.push((shard, share));
        }
        chosen
    }
}

impl View {
    fn note(&mut self, shard: usize, seen: Seen) {
        let Seen(lanes) = seen;
        match lanes.iter().map(|lane| lane.ready + lane.stale).sum() {
            0usize => self.seen.remove(&shard),
            _ => self.seen.insert(shard, seen),
        };
    }
}

/// How many of the shards one of `workers` should hold.
pub(super) fn decide_share(shards: usize, workers: usize) -> usize {
    shards.div_ceil(workers.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ready: usize, oldest: i64) -> Seen {
        Seen([SeenLane { ready, stale: 0, oldest }, SeenLane::default()])
    }

    #[test]
    fn those_that_waited_longest_are_asked_first_and_share_what_is_wanted() {
        let tour = Tour::default();
        tour.note(vec![(0, seen(5, 30)), (1, seen(1, 10)), (2, seen(100, 20)), (3, seen(0, 1))]);
        for (limit, want) in [
            (0, vec![]),
            (1, vec![(1, 1)]),
            (2, vec![(1, 1), (2, 1)]),
            (10, vec![(1, 1), (2, 5), (0, 4)]),
            (500, vec![(1, 1), (2, 100), (0, 5)]),
        ] {
            assert_eq!(tour.choose(Lane::Small, limit), want, "{limit}");
        }
        assert!(tour.choose(Lane::Large, 10).is_empty());
        tour.took(1, Lane::Small, 1, 1, Some(10));
        tour.took(2, Lane::Small, 5, 3, None);
        tour.took(0, Lane::Small, 1, 1, Some(35));
        assert_eq!(tour.choose(Lane::Small, 10), [(0, 4)]);
    }

    #[test]
    fn an_idle_worker_looks_at_its_own_shards_and_in_time_at_all_others() {
        let (tour, mut now) = (Tour::default(), Instant::now());
        assert_eq!(tour.next_look(now, true, 4), Some((vec![0, 1, 2, 3], vec![])), "whoever does not share asks all");
        assert_eq!(tour.next_look(now, false, 4), None);
        tour.hold(vec![1, 2]);
        let mut others = Vec::new();
        for n in 0..FOREIGN_PARTS {
            now += LEAST_LOOK_PAUSE;
            let (own, foreign) = tour.next_look(now, true, 20).unwrap();
            assert_eq!(own[..2], [1, 2]);
            assert_eq!(
                (own.len() > 2, foreign.is_empty()),
                (n == 0, n == 0),
                "at first, and in time again, whatever is found"
            );
            others.extend(own.into_iter().skip(2).chain(foreign));
            assert_eq!(tour.next_look(now, true, 20), None, "not at once again");
        }
        others.sort_unstable();
        assert_eq!(others, [0].into_iter().chain(3..20).collect::<Vec<_>>());
        assert_eq!(tour.next_look(now + LEAST_LOOK_PAUSE, false, 20), None, "who has enough need not look");
        assert_eq!(tour.next_look(now + MOST_LOOK_PAUSE, false, 20).map(|(own, _)| own), Some(vec![1, 2]));
        let busy = tour.next_look(now + FOREIGN_PAUSE, false, 20).unwrap();
        assert!(busy.0.len() > 2 && busy.1.is_empty(), "others may have older keys");
    }

    #[test]
    fn the_shares_of_all_workers_cover_all_shards() {
        for (shards, workers, want) in [(8, 0, 8), (8, 1, 8), (8, 3, 3), (8, 8, 1), (8, 9, 1), (1024, 12, 86)] {
            assert_eq!(decide_share(shards, workers), want);
            assert!(want * workers.max(1) >= shards);
        }
    }
}

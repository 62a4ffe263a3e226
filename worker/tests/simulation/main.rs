//! Simulation: workers and their queue, in Redis or the database, as they ship, their S3 clients included, against backends in
//! memory, in virtual time. A seed decides the order of everything, who dies, what is lost, late, false or away, and how clocks
//! jump; it replays exactly.
//!
//! `S3GATEWAY_SIMULATION_SEEDS=0..5000` plays other schedules than usual, `S3GATEWAY_SIMULATION_SEEDS=17` tells all that happens in one.
// Helpers of tests fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod answers;
mod ask;
mod crew;
mod director;
mod ground;
mod held;
mod judge;
mod panics;
mod proxy;
mod queue;
mod schedule;
mod seat;
mod server;
mod stage;
mod weather;
mod wire;
mod world;

use ground::{Ground, Plots};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use schedule::play;
use stage::Outcome;
use std::ops::Range;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use world::Flaw;

/// Which schedules to play.
const SEEDS: &str = "S3GATEWAY_SIMULATION_SEEDS";
/// Schedules of an ordinary test run.
const USUAL: Range<u64> = 0..200;
/// Within which each flaw must be noticed.
const FLAWED: Range<u64> = 0..400;

fn ground() -> Ground {
    tokio::runtime::Runtime::new().unwrap().block_on(Ground::new())
}

/// The seeds asked for, and whether it is one that is asked about.
fn seeds() -> (Range<u64>, bool) {
    let Ok(text) = std::env::var(SEEDS) else { return (USUAL, false) };
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{text:?} is no seed, nor FIRST..LAST"));
    match text.split_once("..") {
        Some((first, last)) => (number(first)..number(last), false),
        None => (number(&text)..number(&text) + 1, true),
    }
}

/// The cores that this process may use.
fn cores() -> Vec<usize> {
    let ours = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|core| ours.is_set(*core).unwrap()).collect()
}

/// Keeps this thread, and whatever it starts, on one core: a schedule goes from thread to thread and to Redis thousands of times, which
/// is dearer from core to core.
fn stay_on(core: usize) {
    let mut one = CpuSet::new();
    one.set(core).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
}

/// Plays them, on each core one at a time; those that fail, and how many events there were.
fn play_all(ground: &Ground, seeds: Range<u64>, flaw: Flaw, is_one_enough: bool) -> (Vec<(u64, Outcome)>, usize) {
    let next = AtomicU64::new(seeds.start);
    let work = |core: usize| {
        stay_on(core);
        let (mut plots, mut failed, mut events) = (Plots::on(ground), Vec::new(), 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return (failed, events);
            }
            let outcome = play(&mut plots, seed, flaw);
            events += outcome.trace.len();
            if let Some(wrong) = &outcome.wrong {
                println!("seed {seed}: {wrong}");
                failed.push((seed, outcome));
                if is_one_enough {
                    next.store(seeds.end, Ordering::Relaxed);
                }
            }
        }
    };
    let work = &work;
    let ended: Vec<_> = std::thread::scope(|scope| {
        let working: Vec<_> = cores().into_iter().map(|core| scope.spawn(move || work(core))).collect();
        working.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let events = ended.iter().map(|(_, events)| events).sum();
    let mut failed: Vec<_> = ended.into_iter().flat_map(|(failed, _)| failed).collect();
    failed.sort_by_key(|(seed, _)| *seed);
    (failed, events)
}

#[test]
fn whatever_happens_all_copies_become_equal_and_no_key_is_clean_before() {
    let (ground, (seeds, is_asked_about)) = (ground(), seeds());
    if is_asked_about {
        let outcome = play(&mut Plots::on(&ground), seeds.start, Flaw::None);
        println!("{}", outcome.trace.join("\n"));
        assert_eq!(outcome.wrong, None);
        return;
    }
    let began = Instant::now();
    let (failed, events) = play_all(&ground, seeds.clone(), Flaw::None, false);
    if let Some((seed, outcome)) = failed.first() {
        let last = outcome.trace.len().saturating_sub(60);
        let last = outcome.trace[last..].join("\n  ");
        let replay = format!("{SEEDS}={seed} cargo test --workspace --test simulation whatever -- --nocapture");
        panic!(
            "{} of the schedules fail; the first is seed {seed}, which ends so:\n  {last}\nAll of it: {replay}",
            failed.len()
        );
    }
    let (count, took) = (seeds.end - seeds.start, began.elapsed().as_secs_f64());
    println!("{count} schedules, {events} events, {took:.1} s: {:.0} schedules a minute", count as f64 / took * 60.0);
}

/// What another process tells of a seed.
fn elsewhere(seed: u64) -> String {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["whatever", "--nocapture"]).env(SEEDS, seed.to_string());
    String::from_utf8(process.output().unwrap().stdout).unwrap()
}

#[test]
fn a_seed_is_a_schedule() {
    let ground = ground();
    let mut plots = Plots::on(&ground);
    for seed in 1000..1010 {
        let (one, other) = (play(&mut plots, seed, Flaw::None), play(&mut Plots::on(&ground), seed, Flaw::None));
        let differ = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other);
        let from = |trace: &[String]| {
            trace[differ.unwrap_or(0).saturating_sub(3)..].iter().take(6).cloned().collect::<Vec<_>>()
        };
        assert!(one == other, "seed {seed}: {:#?}\n{:#?}", from(&one.trace), from(&other.trace));
        assert!(elsewhere(seed).contains(&one.trace.join("\n")), "seed {seed} is another schedule in another process");
    }
}

#[test]
fn what_is_wrong_on_purpose_is_noticed() {
    let ground = ground();
    for flaw in [
        Flaw::ForgottenSequence,
        Flaw::LateMark,
        Flaw::EarlyCommit,
        Flaw::UnseenLies,
        Flaw::FalseAbsence,
        Flaw::UnseenRestart,
        Flaw::ForgottenSends,
    ] {
        let (failed, _) = play_all(&ground, FLAWED, flaw, true);
        assert!(!failed.is_empty(), "{flaw:?} was not noticed");
    }
}

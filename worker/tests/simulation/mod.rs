//! Simulation: the worker, its SDK clients and the SQL queue, as they ship, against backends in memory. A seed decides who moves next and which
//! request or answer is lost, refused or cut off, which worker dies, and when its claim counts as dead.
//!
//! `S3GATEWAY_SIMULATIONS=5000` runs more schedules, `S3GATEWAY_SIMULATION_SEED=17` runs that of one seed.
mod gate;
mod site;
mod world;

use std::time::Instant;
use world::{Flaw, World};

/// Schedules of an ordinary test run.
const SCHEDULES: u64 = 300;
/// Within which a flawed client must be noticed.
const FLAWED: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: no number")))
}

#[tokio::test]
async fn whatever_happens_copies_become_equal_and_no_key_is_clean_before() {
    let world = World::new().await;
    if let Some(seed) = number("S3GATEWAY_SIMULATION_SEED") {
        let trace = world.run(seed, Flaw::None).await.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        return println!("{}", trace.join("\n"));
    }
    let (began, schedules) = (Instant::now(), number("S3GATEWAY_SIMULATIONS").unwrap_or(SCHEDULES));
    let mut steps = 0;
    for seed in 0..schedules {
        let trace = world.run(seed, Flaw::None).await;
        steps += trace.unwrap_or_else(|wrong| panic!("S3GATEWAY_SIMULATION_SEED={seed}: {wrong}")).len();
    }
    println!("{schedules} schedules, {steps} steps, {:.1} s", began.elapsed().as_secs_f64());
}

#[tokio::test]
async fn the_same_seed_is_the_same_schedule() {
    let (one, other) = (World::new().await, World::new().await);
    for seed in 0..20 {
        assert_eq!(one.run(seed, Flaw::None).await, other.run(seed, Flaw::None).await, "seed {seed}");
    }
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_noticed() {
    let world = World::new().await;
    for flaw in [Flaw::MarksLate, Flaw::CommitsEarly] {
        let mut noticed = false;
        for seed in 0..FLAWED {
            noticed |= world.run(seed, flaw).await.is_err();
            if noticed {
                break;
            }
        }
        assert!(noticed, "{flaw:?}");
    }
}

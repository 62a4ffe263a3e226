//! `s3gateway soak`: a mixed load on any deployment, whatever is done to that meanwhile, with a ledger of its own; at
//! the end the backends are read past the gateway: everything that was acknowledged must be there, and nothing else.
mod client;
mod content;
mod deployment;
mod history;
mod judge;
mod ledger;
mod options;
mod report;
mod s3;
mod tally;
mod write;

use crate::{
    failure::{During, Failure},
    logging, runtime,
    signals::Signals,
};
use aws_sdk_s3::{
    Client as S3,
    types::{BucketLocationConstraint, CreateBucketConfiguration},
};
use client::{Client, Load};
use deployment::Deployment;
use judge::Judge;
use ledger::{Ledger, Run};
use options::Target;
use report::Report;
use s3::{Answer, sort};
use s3gateway_config::settings::LogFormat;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tally::{Finding, Tally};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use options::SoakOptions;

/// How often the bucket is tried to be made, a second apart.
const BUCKET_TRIES: u32 = 30;
const PROGRESS: Duration = Duration::from_secs(10);

/// Loads, waits, judges and reports.
///
/// # Errors
/// Where the options cannot be used, nothing could be proven, or something is wrong with what was found.
pub fn run(options: &SoakOptions) -> Result<(), Failure> {
    let target = options.target()?;
    logging::start(LogFormat::Human, "warn")?;
    let report = runtime::start()?.block_on(soak(options, target))?;
    print!("{}", report.render());
    if let Some(path) = &options.report {
        let text = serde_json::to_vec_pretty(&report).during("the report")?;
        std::fs::write(path, text).during(&format!("--report {}", path.display()))?;
    }
    match report.found() {
        0 => Ok(()),
        found => Err(Failure::new(format!("{found} findings that must not be"))),
    }
}

async fn soak(options: &SoakOptions, target: Target) -> Result<Report, Failure> {
    let tally = Arc::new(Tally::new());
    let connect = |endpoint: &String| s3::connect(endpoint, "us-east-1", &target.access_key, &target.secret_key);
    let mut gateways: VecDeque<_> = target.endpoints.iter().map(connect).collect();
    let gateway = gateways.pop_front().ok_or_else(|| Failure::of_input("--endpoint: give at least one"))?;
    let began = Instant::now();
    if !options.judge {
        load(options, &gateway, gateways, &tally).await?;
    }
    let load = began.elapsed();
    let ledger = ledger::replay(&options.ledger)?;
    let deployment = Deployment { admin: target.admin, tenant: target.tenant, backends: target.backends };
    eprintln!("the load is over; waiting until none of its keys is dirty");
    let converged = deployment.converged(&ledger.run.bucket, ledger.keys.keys(), options.converge_within).await;
    if let Err(left) = &converged {
        tally.find(Finding::NotConverged, &ledger.run.bucket, left.clone());
    }
    eprintln!("reading {} keys at every backend", ledger.keys.len());
    Judge::new(&deployment, &gateway, &ledger, &tally).await?.run().await?;
    Ok(Report::new(&ledger, tally.counts(), options.faults()?, load, converged.ok()))
}

/// The load, until its time is over or a signal comes.
async fn load(options: &SoakOptions, endpoint: &S3, others: VecDeque<S3>, tally: &Arc<Tally>) -> Result<(), Failure> {
    let seed = options.seed.unwrap_or_else(rand::random);
    let run = Run { seed, bucket: options.bucket.clone(), prefix: format!("soak-{seed:016x}/") };
    eprintln!("seed {seed}, ledger {}", options.ledger.display());
    ensure_bucket(endpoint, &options.bucket, options.location.as_deref()).await?;
    let stop = CancellationToken::new();
    let signals = tokio::spawn(Signals::listen()?.cancel(stop.clone()));
    let (ledger, written) = Ledger::create(&options.ledger, &run)?;
    let shared = Arc::new(Load {
        endpoint: endpoint.clone(),
        others,
        bucket: options.bucket.clone(),
        prefix: run.prefix,
        seed,
        keys: options.keys,
        max_size: options.max_size,
        ledger,
        tally: tally.clone(),
    });
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        clients.spawn(Client::new(shared.clone(), number).run(stop.clone()));
    }
    drop(shared);
    let ended = tokio::select! {
        ended = clients.join_next() => ended,
        () = stop.cancelled() => None,
        () = tokio::time::sleep(options.duration) => None,
        () = show_progress(tally) => None,
    };
    stop.cancel();
    let mut done = ended.map_or(Ok(()), |ended| ended.during("a client").and_then(|done| done));
    while let Some(ended) = clients.join_next().await {
        done = done.and(ended.during("a client").and_then(|done| done));
    }
    signals.abort();
    // What went wrong with the file says more than that it can no longer be written.
    written.await.during("the ledger")?.and(done)
}

async fn show_progress(tally: &Tally) {
    loop {
        tokio::time::sleep(PROGRESS).await;
        let counts = tally.counts();
        let answered: u64 = counts.operations.values().map(|count| count.answered).sum();
        let unanswered: u64 = counts.operations.values().map(|count| count.unanswered).sum();
        eprintln!("{answered} answered, {unanswered} not, {} findings", counts.findings.values().sum::<u64>());
    }
}

async fn ensure_bucket(s3: &S3, bucket: &str, location: Option<&str>) -> Result<(), Failure> {
    let mut why = String::new();
    for _ in 0..BUCKET_TRIES {
        why = match sort(s3.head_bucket().bucket(bucket).send().await) {
            Answer::Done(_) => return Ok(()),
            Answer::Refused { status: 404, .. } => {
                let place = |place| {
                    CreateBucketConfiguration::builder()
                        .location_constraint(BucketLocationConstraint::from(place))
                        .build()
                };
                let create = s3.create_bucket().bucket(bucket);
                match sort(create.set_create_bucket_configuration(location.map(place)).send().await) {
                    Answer::Done(_) => return Ok(()),
                    Answer::Refused { status, code } => {
                        return Err(Failure::new(format!("the bucket {bucket} cannot be made: {status} {code}")));
                    }
                    Answer::Unanswered(why) => why,
                }
            }
            Answer::Refused { status, code } => {
                return Err(Failure::new(format!("the bucket {bucket} cannot be used: {status} {code}")));
            }
            Answer::Unanswered(why) => why,
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(Failure::new(format!("the bucket {bucket} cannot be made: {why}")))
}

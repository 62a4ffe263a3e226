//! The worker's loop: claims jobs, converges several keys at a time, keeps claims alive, and settles how each job ended.
//! Stopping is a sequence: no new claims, running jobs may finish within the grace, what is left is taken over by others.
mod house;
mod verdict;

use crate::backends::Backends;
use crate::backlog::Backlog;
use crate::backoff::{decide_delay, decide_rest};
use crate::claim::{Claim, Standing};
use crate::converge::{ConvergeError, Converged, Converger, NotNow};
use crate::history::History;
use crate::metrics::Metrics;
use crate::migrate::Migrator;
use crate::promote::{Promoter, Watch};
use crate::settings::WorkerSettings;
use crate::suspect::Suspects;
use crate::upkeep::Upkeep;
use crate::walk::Walker;
use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use s3gateway_store::queue::{Cleared, Job, Lane};
use s3gateway_store::{JobRecord, Metadata, Millis, Queue, StoreError};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};
use verdict::{Verdict, chain, held_to_claim, until_taken};

/// Begins the reason of a dead letter that only an absence has made; such keys are redriven by themselves.
const AWAY: &str = "unavailable: ";
/// How long a worker that is heard of no more keeps its shards of the queue.
const ATTENDS_FOR: Duration = Duration::from_secs(12);
/// The queue is asked again when this part of the jobs has ended, while it has more than can be worked on,
const ASKS_FOR_PART: usize = 4;
/// and else after this pause, which grows up to the poll interval while it has none.
const LEAST_PAUSE: Duration = Duration::from_millis(20);
/// Pause after the queue could not be asked.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

/// What a worker is made of.
pub struct WorkerParts {
    /// Routes, backends, copies, job history.
    pub metadata: Metadata,
    /// The dirty keys.
    pub queue: Arc<dyn Queue>,
    /// Limits and deadlines.
    pub settings: WorkerSettings,
    /// Where its metrics are registered.
    pub registry: prometheus::Registry,
}

/// A worker; any number may run on the same queue.
pub struct Worker {
    shared: Arc<Shared>,
    upkeep: Upkeep,
    suspects: Suspects,
    walker: Arc<Walker>,
    promoter: Arc<Promoter>,
    migrator: Arc<Migrator>,
}

struct Shared {
    queue: Arc<dyn Queue>,
    converger: Converger,
    settings: WorkerSettings,
    metrics: Metrics,
    /// This worker's name in the queue.
    consumer: String,
    jitter: Mutex<StdRng>,
    history: History,
    /// Leave to copy large objects.
    large: Arc<Semaphore>,
}

impl Worker {
    /// A worker that does nothing until [`Self::run`].
    ///
    /// # Errors
    /// Where the metrics cannot be made; names that the registry holds already are only reported and not shown.
    pub fn new(parts: WorkerParts) -> Result<Self, prometheus::Error> {
        let WorkerParts { metadata, queue, settings, registry } = parts;
        let metrics = Metrics::register(&registry).or_else(|failed| {
            warn!(error = %failed, "the worker's metrics are not shown");
            Metrics::register(&prometheus::Registry::new())
        })?;
        let mut rng = settings.seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        let consumer = format!("worker-{:016x}", rng.random::<u64>());
        let backends = Arc::new(Backends::new(metadata.clone(), settings.clone()));
        let converger = Converger::new(metadata.clone(), backends.clone(), settings.clone(), metrics.clone());
        let backlog = Arc::new(Backlog::new(queue.clone(), settings.backlog));
        let walker = Walker {
            metadata: metadata.clone(),
            backends: backends.clone(),
            queue: queue.clone(),
            backlog: backlog.clone(),
            settings: settings.clone(),
            metrics: metrics.clone(),
            jitter: Mutex::new(StdRng::from_rng(&mut rng)),
        };
        let WorkerSettings { lease, look_interval, .. } = settings;
        let (m, q, b) = (metadata.clone(), queue.clone(), backends.clone());
        let promoter = Promoter { metadata: m, queue: q, backends: b, lease, look_interval };
        let (m, q, b) = (metadata.clone(), queue.clone(), backends.clone());
        let migrator = Migrator { metadata: m, queue: q, backends: b, lease, look_interval };
        let suspects = Suspects::new(metadata.clone(), queue.clone(), &settings);
        let upkeep = Upkeep::new(metadata, queue.clone(), backends, backlog, metrics.clone(), &settings);
        let large = Arc::new(Semaphore::new(settings.large_concurrency.clamp(1, settings.concurrency.max(1))));
        let (jitter, history) = (Mutex::new(rng), History::default());
        let shared = Shared { queue, converger, settings, metrics, consumer, jitter, history, large };
        Ok(Self {
            shared: Arc::new(shared),
            upkeep,
            suspects,
            walker: Arc::new(walker),
            promoter: Arc::new(promoter),
            migrator: Arc::new(migrator),
        })
    }

    /// Works until `stop`, then drains. Boxed, so that the code of all this is made in this crate, once, and not in each that awaits it.
    pub fn run(self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(self.work_until(stop))
    }

    async fn work_until(self, stop: CancellationToken) {
        let Self { shared, upkeep, suspects, walker, promoter, migrator } = self;
        info!(consumer = shared.consumer, concurrency = shared.settings.concurrency, "worker started");
        tokio::join!(
            shared.clone().work(&stop),
            shared.converger.backends.follow(&stop),
            shared.keep_house(&stop),
            walker.run(&stop),
            promoter.clone().follow(&stop),
            Watch::new(promoter).follow(&stop),
            migrator.follow(&stop),
            upkeep.run(&stop),
            suspects.watch(&stop),
            shared.attend(&stop),
            shared.history.keep(&shared.converger.metadata, &stop),
        );
        shared.history.flush(&shared.converger.metadata).await;
        info!("worker stopped");
    }
}

impl Shared {
    /// Claims and converges.
    async fn work(self: Arc<Self>, stop: &CancellationToken) {
        let mut jobs = JoinSet::new();
        let most = self.settings.concurrency.max(1);
        let (mut pause, mut next, mut is_backlog) = (Duration::ZERO, Instant::now(), false);
        // Others wait for the leave that one has given back.
        let mut was_large = false;
        while !stop.is_cancelled() {
            let free = most.saturating_sub(jobs.len());
            // One question for many jobs, though slow ones keep no room empty for longer than a moment.
            let is_time = Instant::now() >= next || (is_backlog && free * ASKS_FOR_PART >= most) || was_large;
            if free > 0 && is_time {
                was_large = false;
                let claimed = self.claim(free).await;
                let least = LEAST_PAUSE.min(self.settings.poll_interval);
                pause = match &claimed {
                    Ok(claimed) if claimed.is_empty() => (pause * 2).clamp(least, self.settings.poll_interval),
                    Ok(_) => least,
                    Err(_) => CLAIM_PAUSE,
                };
                let claimed = claimed.unwrap_or_default();
                (next, is_backlog) = (Instant::now() + pause, claimed.len() >= free);
                for claim in claimed {
                    jobs.spawn(self.clone().settle(claim));
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = jobs.join_next(), if !jobs.is_empty() => was_large |= note_end(ended),
                () = tokio::time::sleep_until(next), if jobs.len() < most => {}
            }
            while let Some(ended) = jobs.try_join_next() {
                was_large |= note_end(ended);
            }
        }
        let drained = async { while jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(self.settings.drain_grace, drained).await.is_err() {
            warn!(left = jobs.len(), "drain ran out of time; the rest will be taken over");
            jobs.shutdown().await;
        }
    }

    /// Large objects first, as far as they have leave: there is always room for small ones beside them.
    async fn claim(&self, limit: usize) -> Result<Vec<Claim>, StoreError> {
        let mut leaves = Vec::new();
        while leaves.len() < limit
            && let Ok(leave) = self.large.clone().try_acquire_owned()
        {
            leaves.push(leave);
        }
        let mut claims = self.claim_in(Lane::Large, leaves.len()).await?;
        for claim in &mut claims {
            claim.leave = Mutex::new(leaves.pop());
        }
        drop(leaves);
        match self.claim_in(Lane::Small, limit.saturating_sub(claims.len())).await {
            Ok(small) => claims.extend(small),
            Err(failed) if claims.is_empty() => return Err(failed),
            Err(_) => {}
        }
        Ok(claims)
    }

    async fn claim_in(&self, lane: Lane, limit: usize) -> Result<Vec<Claim>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let asked = Instant::now();
        let claimed = self.queue.claim_in(lane, &self.consumer, limit, self.settings.lease).await;
        let claimed = claimed.inspect_err(|failed| warn!(error = %failed, "the queue cannot be asked for jobs"))?;
        let claim = |job: Job| Claim {
            queue: self.queue.clone(),
            metadata: self.converger.metadata.clone(),
            job,
            consumer: self.consumer.clone(),
            lease: self.settings.lease,
            standing: Standing::since(asked, self.settings.lease),
            lane: self.large.clone(),
            leave: Mutex::default(),
            marked: AtomicI64::new(0),
        };
        Ok(claimed.into_iter().map(claim).collect())
    }

    /// Has this worker its share of the queue's shards while it runs.
    async fn attend(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.queue.attend(&self.consumer, ATTENDS_FOR).await {
                Ok(shards) => self.metrics.shards.set(i64::try_from(shards).unwrap_or(i64::MAX)),
                Err(failed) => debug!(error = %failed, "the queue's shards cannot be shared"),
            }
            let _ = tokio::time::timeout(ATTENDS_FOR / 4, stop.cancelled()).await;
        }
        if let Err(failed) = self.queue.leave(&self.consumer).await {
            debug!(error = %failed, "the shards come free by themselves");
        }
    }

    /// One job from claim to verdict; whether it had leave to copy a large object, which is free again.
    async fn settle(self: Arc<Self>, claim: Claim) -> bool {
        let job = claim.job.clone();
        let span = info_span!(
            "converge",
            request_id = job.request_id,
            bucket = job.key.bucket.as_str(),
            attempts = job.attempts
        );
        async {
            self.metrics.running.inc();
            let (began, started_at) = (Instant::now(), self.now());
            let result = tokio::select! {
                // In an order that a simulation can repeat.
                biased;
                result = claim.standing.run(self.converger.converge(&job.key, &claim)) => result,
                lost = claim.keep() => Err(lost.into()),
            };
            let verdict = self.decide_verdict(&job, held_to_claim(result, claim.stands()));
            self.record(&job, &verdict, started_at);
            let outcome = verdict.outcome();
            if let Err(failed) = self.carry_out(&claim, verdict).await {
                // The claim runs out and the key comes back: it is still dirty.
                warn!(error = %failed, "the queue did not take the verdict");
            }
            self.metrics.attempt(outcome, began.elapsed());
            self.metrics.running.dec();
        }
        .instrument(span)
        .await;
        claim.has_leave()
    }

    fn decide_verdict(&self, job: &Job, result: Result<Converged, ConvergeError>) -> Verdict {
        let delay = || self.decide_delay(job.attempts);
        let last = job.attempts.saturating_add(1) >= self.settings.max_attempts;
        match result {
            Ok(Converged::Done(detail)) => Verdict::Clear(detail),
            Ok(Converged::NoBucket) => Verdict::Clear("the bucket is gone".to_owned()),
            Err(ConvergeError::LostClaim) => Verdict::MarkAgain,
            Err(ConvergeError::NotNow(why, not_now)) => Verdict::PutOff(why, self.decide_rest(job, not_now)),
            Err(ConvergeError::Large) => Verdict::SetAside,
            // However long its deletion takes: it may be called off.
            Err(error @ ConvergeError::OutOfService) => Verdict::PutOff(error.to_string(), self.decide_delay(3)),
            // A key that is written all the time is no failure, nor is a bucket that moves.
            Err(error @ (ConvergeError::Changed | ConvergeError::Fenced)) => {
                Verdict::Retry(error.to_string(), self.decide_delay(job.attempts.min(3)))
            }
            Err(ConvergeError::Impossible(why)) => Verdict::Bury(why),
            Err(ConvergeError::Unavailable(why)) if last => Verdict::Bury(format!("{AWAY}{why}")),
            Err(ConvergeError::Refused(why)) if last => Verdict::Bury(why),
            Err(error) => Verdict::Retry(chain(&error), delay()),
        }
    }

    /// The time of day, as rows are stamped with it.
    fn now(&self) -> Millis {
        self.converger.metadata.now()
    }

    fn decide_delay(&self, attempts: u32) -> Duration {
        let unit = self.jitter.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>();
        decide_delay(attempts, self.settings.backoff_base, self.settings.backoff_max, unit)
    }

    /// When to look again at a key whose backend is not to be asked now.
    fn decide_rest(&self, job: &Job, not_now: NotNow) -> Duration {
        let beside = match not_now {
            NotNow::Throttled(_) | NotNow::InFlight(_) => self.decide_delay(0),
            NotNow::Resting(_) => Duration::ZERO,
        };
        let waited = Duration::from_millis(u64::try_from(self.now().saturating_sub(job.dirty_since)).unwrap_or(0));
        let unit = self.jitter.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>();
        beside + decide_rest(not_now, waited, self.settings.backoff_max, unit)
    }

    /// Notes the attempt for the job history. What did not so much as begin is none.
    fn record(&self, job: &Job, verdict: &Verdict, started_at: i64) {
        if matches!(verdict, Verdict::PutOff(..) | Verdict::SetAside) {
            return;
        }
        self.history.note(JobRecord {
            bucket: job.key.bucket.clone(),
            key: job.key.key.clone(),
            outcome: <&str>::from(verdict.outcome()).to_owned(),
            detail: verdict.detail().to_owned(),
            attempts: i64::from(job.attempts) + 1,
            request_id: job.request_id.clone(),
            started_at,
            finished_at: self.now(),
        });
    }

    async fn carry_out(&self, claim: &Claim, verdict: Verdict) -> Result<(), StoreError> {
        let job = &claim.job;
        let key = job.key.key.as_str();
        let unanswered = claim.standing.unanswered();
        if !unanswered.is_empty() {
            // Else another look, by whomever, could clear the key before that lands. While the queue does not take it, it clears nothing.
            debug!(key, ?unanswered, "something that was sent may land yet");
            let note = || self.queue.note_late(&job.key, &unanswered, claim.lease);
            until_taken(note, |failures| self.decide_delay(failures)).await;
        }
        match verdict {
            Verdict::Clear(detail) => match self.queue.clear(job).await? {
                Cleared::Clean => {
                    let took = self.now() - job.dirty_since;
                    self.metrics.clean_after(took);
                    info!(key, detail, dirty_ms = took, "converged");
                }
                Cleared::Requeued => info!(key, detail, "converged, and written again or not settled meanwhile"),
            },
            Verdict::Retry(why, delay) => {
                info!(key, why, delay_ms = delay.as_secs_f64() * 1000.0, "not converged yet");
                self.queue.retry(&claim.job_to_put_back(), delay).await?;
            }
            Verdict::PutOff(why, delay) => {
                debug!(key, why, delay_ms = delay.as_secs_f64() * 1000.0, "put off");
                self.queue.put_off(&claim.job_to_put_back(), delay).await?;
            }
            Verdict::SetAside => {
                debug!(key, "set aside");
                self.queue.set_aside(job).await?;
            }
            Verdict::Bury(why) => {
                error!(key, why, "given up");
                self.queue.bury(&claim.job_to_put_back(), &why).await?;
            }
            Verdict::MarkAgain => {
                // What this worker did after the other had taken over may have undone the other's work. Nobody else knows:
                // the other may have cleared the key, which then comes back by this alone.
                info!(key, "the claim was taken over");
                let mark = || self.queue.mark(&job.key, &job.request_id);
                until_taken(mark, |failures| self.decide_delay(failures)).await;
            }
        }
        Ok(())
    }
}

/// Whether the job was one that had leave to copy a large object.
fn note_end(ended: Result<bool, tokio::task::JoinError>) -> bool {
    ended.unwrap_or_else(|failed| {
        error!(error = %failed, "a job ended without a verdict; it will be taken over");
        false
    })
}

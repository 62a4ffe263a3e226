//! A simulated deployment: the metadata store and the queue that ship, two backends in memory, and tasks that one seed drives: workers that
//! settle jobs with the code that ships, and clients that write as a proxy does. One task moves at a time, from one gate to the next.
use super::gate::{Fate, Gate};
use super::site::{Site, Stored};
use crate::backend::Remote;
use crate::backends::Backends;
use crate::converge::Converger;
use crate::metrics::Metrics;
use crate::settings::WorkerSettings;
use crate::worker::Shared;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use s3gateway_config::{BackendId, Capabilities, Place, ResidencyPolicy, Secret};
use s3gateway_s3::{LogicalBucket, ObjectKey};
use s3gateway_store::{Backend, Begun, DirtyKey, LocalKey, Metadata, NewBucket, Queue, Route};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than any schedule runs.
const LEASE: Duration = Duration::from_secs(3600);
/// Steps after which a schedule without faults must have come to rest.
const PATIENCE: usize = 2000;

/// What the client gets wrong on purpose, so that the judge is seen to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Writes first and marks then.
    MarksLate,
    /// Commits before its write has landed, and holds no lease meanwhile.
    CommitsEarly,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What all schedules share.
pub(super) struct World {
    metadata: Metadata,
    queue: Arc<dyn Queue>,
    route: Route,
    gate: Gate,
    home: Site,
    replica: Site,
    settings: WorkerSettings,
    backends: Arc<Backends>,
    _folder: TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("metadata.db").display());
        let secrets = Arc::new(LocalKey::from_hex(&"5".repeat(64)).unwrap());
        let metadata = Metadata::connect(&url, 2, secrets).await.unwrap();
        metadata.migrate().await.unwrap();
        let settings = WorkerSettings {
            lease: LEASE,
            max_attempts: u32::MAX,
            backoff_base: Duration::ZERO,
            backoff_max: Duration::ZERO,
            seed: Some(1),
            ..WorkerSettings::default()
        };
        let gate = Gate::default();
        let (home, replica) = (Site::new("home", gate.clone()), Site::new("replica", gate.clone()));
        home.held.lock().unwrap().has_bucket = true;
        let mut remotes = Vec::new();
        for (id, site) in [("fi-hel", &home), ("de-fra", &replica)] {
            let backend = backend(id);
            metadata.put_backend(&backend).await.unwrap();
            remotes.push(Remote::over(backend, &settings, site.http_client(), 1));
        }
        let tenant = metadata.create_tenant("acme", &ResidencyPolicy::default(), &[], 2).await.unwrap();
        let new = NewBucket {
            tenant: tenant.id.clone(),
            name: LogicalBucket::parse("photos").unwrap(),
            placement: ["fi-hel", "de-fra"].map(|id| BackendId::parse(id).unwrap()).to_vec(),
            replica_count: 2,
            location: String::new(),
        };
        let Begun::Created(route) = metadata.begin_create_bucket(&new).await.unwrap() else { panic!("a new name") };
        metadata.activate_bucket(&route.bucket).await.unwrap();
        let backends = Arc::new(Backends::of(metadata.clone(), settings.clone(), remotes));
        let queue: Arc<dyn Queue> = Arc::new(metadata.sql_queue());
        Self { metadata, queue, route, gate, home, replica, settings, backends, _folder: folder }
    }

    fn dirty(&self, key: &str) -> DirtyKey {
        DirtyKey { bucket: self.route.bucket.clone(), key: ObjectKey::parse(key).unwrap() }
    }

    /// A worker with nothing of another's in memory.
    fn worker(&self, name: &str) -> Arc<Shared> {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let converger =
            Converger::new(self.metadata.clone(), self.backends.clone(), self.settings.clone(), metrics.clone());
        Arc::new(Shared {
            queue: self.queue.clone(),
            converger,
            settings: self.settings.clone(),
            metrics,
            consumer: name.to_owned(),
            jitter: Mutex::new(StdRng::seed_from_u64(1)),
        })
    }

    /// Claims and settles for ever; a claim that meets [`Fate::AnswerLost`] takes every other claim for dead, as after a jump of the clock.
    fn work(&self, name: String) -> Task {
        let (worker, gate) = (self.worker(&name), self.gate.clone());
        Box::pin(async move {
            loop {
                let lease = match gate.pass("claim").await {
                    Fate::AnswerLost => Duration::ZERO,
                    _ => LEASE,
                };
                let mut jobs = worker.queue.claim(&name, 4, lease).await.unwrap();
                jobs.sort_by(|a, b| a.key.key.as_str().cmp(b.key.key.as_str()));
                for job in jobs {
                    worker.clone().settle(job).await;
                }
            }
        })
    }

    /// One write as a proxy does it. Where its answer is lost, the proxy does not know, and its mark stays until the lease has run out.
    fn write(&self, key: &str, after: Option<Stored>, flaw: Flaw) -> Task {
        let (gate, queue, home) = (self.gate.clone(), self.queue.clone(), self.home.clone());
        let (dirty, key) = (self.dirty(key), key.to_owned());
        Box::pin(async move {
            let land = || {
                let objects = &mut home.held.lock().unwrap().objects;
                match after {
                    Some(stored) => drop(objects.insert(key.clone(), stored)),
                    None => drop(objects.remove(&key)),
                }
            };
            gate.pass("client begins").await;
            if flaw == Flaw::MarksLate {
                land();
                gate.pass("client marks").await;
                return queue.mark(&dirty, "r").await.unwrap();
            }
            let mark = queue.intent(&dirty, "r", LEASE).await.unwrap();
            if flaw == Flaw::CommitsEarly {
                queue.commit(&dirty, &mark, "r").await.unwrap();
                gate.pass("client writes").await;
                return land();
            }
            let fate = gate.pass("client writes").await;
            if !matches!(fate, Fate::Lost | Fate::Throttled) {
                land();
            }
            gate.pass("client commits").await;
            match fate {
                Fate::Done | Fate::Cut => queue.commit(&dirty, &mark, "r").await.unwrap(),
                // The lease is over, and the key is looked at.
                _ => queue.release(&dirty, &mark).await.unwrap(),
            }
        })
    }

    /// Runs one schedule to its end; what was done in it, or what is wrong and when.
    pub(super) async fn run(&self, seed: u64, flaw: Flaw) -> Result<Vec<String>, String> {
        let mut schedule =
            Schedule { world: self, rng: StdRng::seed_from_u64(seed), tasks: Vec::new(), trace: Vec::new() };
        let keys: Vec<_> = (0..schedule.rng.random_range(1..=2)).map(|n| format!("{seed}-{flaw:?}/k{n}")).collect();
        for n in 0..2 {
            schedule.add(self.work(format!("worker-{n}"))).await;
        }
        for version in 0..schedule.rng.random_range(2..=6_u64) {
            let key = &keys[schedule.rng.random_range(0..keys.len())];
            let tags =
                schedule.rng.random_bool(0.3).then(|| ("v".to_owned(), version.to_string())).into_iter().collect();
            let stored = Stored { body: format!("{key} {version}").into(), tags };
            let after = schedule.rng.random_bool(0.7).then_some(stored);
            schedule.add(self.write(key, after, flaw)).await;
        }
        schedule.chaos(&keys).await?;
        schedule.rest(&keys).await?;
        Ok(schedule.trace)
    }
}

/// One run of tasks.
struct Schedule<'w> {
    world: &'w World,
    rng: StdRng,
    /// `None` where it has ended.
    tasks: Vec<Option<Task>>,
    trace: Vec<String>,
}

impl Schedule<'_> {
    async fn add(&mut self, task: Task) {
        self.tasks.push(Some(task));
        self.move_on(self.tasks.len() - 1).await;
    }

    /// Polls one task until it waits at the gate or ends; what it asks of the stores is answered meanwhile, and no other task moves.
    async fn move_on(&mut self, n: usize) {
        let gate = self.world.gate.clone();
        let Some(task) = &mut self.tasks[n] else { return };
        let is_done = poll_fn(|context| {
            gate.enter(n);
            match task.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending if gate.waits(n).is_some() => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        });
        if is_done.await {
            self.tasks[n] = None;
        }
    }

    async fn step(&mut self, n: usize, fate: Fate) {
        let what = self.world.gate.waits(n).unwrap_or_default();
        self.trace.push(format!("task {n}: {what}: {fate:?}"));
        self.world.gate.open(n, fate);
        self.move_on(n).await;
    }

    fn running(&self, from: usize) -> Vec<usize> {
        (from..self.tasks.len()).filter(|&n| self.tasks[n].is_some()).collect()
    }

    /// Any task next, and anything may become of what it does, until all clients are through. Workers die and are replaced.
    async fn chaos(&mut self, keys: &[String]) -> Result<(), String> {
        while !self.running(2).is_empty() {
            let running = self.running(0);
            let n = running[self.rng.random_range(0..running.len())];
            if n < 2 && self.rng.random_ratio(1, 40) {
                self.trace.push(format!("worker {n} dies"));
                self.world.gate.open(n, Fate::Lost);
                let name = format!("worker-{n}-{}", self.trace.len());
                self.tasks[n] = Some(self.world.work(name));
                self.move_on(n).await;
                continue;
            }
            let fate = match self.rng.random_range(0..20) {
                0 => Fate::Lost,
                1 => Fate::AnswerLost,
                2 => Fate::Throttled,
                3 => Fate::Cut,
                _ => Fate::Done,
            };
            self.step(n, fate).await;
            self.judge(keys, false).await?;
        }
        Ok(())
    }

    /// Without faults and writes, each worker ends what it has begun, and then one does all that is left.
    async fn rest(&mut self, keys: &[String]) -> Result<(), String> {
        for n in 0..2 {
            for _ in 0..PATIENCE {
                if self.world.gate.waits(n).as_deref() == Some("claim") {
                    break;
                }
                self.step(n, Fate::Done).await;
            }
        }
        for _ in 0..PATIENCE {
            let mut is_clean = true;
            for key in keys {
                is_clean &= self.world.queue.is_clean(&self.world.dirty(key)).await.unwrap();
            }
            if is_clean {
                return self.judge(keys, true).await;
            }
            let fate = if self.world.gate.waits(0).as_deref() == Some("claim") { Fate::AnswerLost } else { Fate::Done };
            self.step(0, fate).await;
        }
        Err(self.tell("it never comes to rest".to_owned()))
    }

    /// A clean key is equal everywhere, at every moment: a read from its replica is as good as one from its home.
    async fn judge(&self, keys: &[String], at_rest: bool) -> Result<(), String> {
        for key in keys {
            let (home, replica) = (self.world.home.object(key), self.world.replica.object(key));
            if home != replica && (at_rest || self.world.queue.is_clean(&self.world.dirty(key)).await.unwrap()) {
                return Err(self.tell(format!("{key} is clean, and home has {home:?}, replica {replica:?}")));
            }
        }
        Ok(())
    }

    fn tell(&self, what: String) -> String {
        format!("{what}, after\n{}", self.trace.join("\n"))
    }
}

fn backend(id: &str) -> Backend {
    Backend {
        id: BackendId::parse(id).unwrap(),
        place: Place {
            zone: format!("{id}-1"),
            region: id.to_owned(),
            country: "FI".to_owned(),
            jurisdiction: "EU".to_owned(),
            provider: "simulated".to_owned(),
            certifications: Vec::new(),
        },
        endpoint: format!("http://{id}"),
        region: "us-east-1".to_owned(),
        access_key: "a".to_owned(),
        secret_key: Arc::new(Secret::new("s".to_owned())),
        capabilities: Capabilities { versioning: false, ..Capabilities::default() },
        position: 0,
    }
}

//! The workers of a schedule: the whole of each as it ships, hired and killed.
use super::queue::Watched;
use super::seat::{At, Seat};
use super::wire::Wire;
use super::world::World;
use s3gateway_store::Metadata;
use s3gateway_worker::{Worker, WorkerParts, WorkerSettings};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub struct Crew {
    world: Arc<World>,
    /// Whose operations nobody conducts yet.
    metadata: Metadata,
    size: usize,
    working: Vec<JoinHandle<()>>,
    hired: u64,
}

impl Crew {
    pub fn new(world: Arc<World>, metadata: Metadata, size: usize) -> Self {
        Self { world, metadata, size, working: Vec::new(), hired: 0 }
    }

    pub fn is_short(&self) -> bool {
        self.working.len() < self.size
    }

    /// One more, with nothing of another's in memory.
    pub fn hire(&mut self) {
        let actor = format!("w{}", self.hired);
        let seat = Arc::new(Seat { world: self.world.clone(), at: At::Database, is_sheltered: false });
        let metadata = self.metadata.conducted(seat);
        let queue = Watched::new(&self.world, actor.clone(), &metadata, &self.metadata, false);
        let settings = WorkerSettings {
            lease: Duration::from_secs(5),
            part_size: 64,
            multipart_threshold: 120,
            part_parallelism: 2,
            poll_interval: Duration::from_millis(700),
            backoff_base: Duration::from_millis(200),
            backoff_max: Duration::from_secs(8),
            answer_timeout: Duration::from_secs(4),
            upload_timeout: Duration::from_secs(15),
            retire_interval: Duration::from_secs(20),
            redrive_interval: Duration::from_secs(20),
            walk_interval: Duration::from_secs(2),
            // There are none.
            look_interval: Duration::from_secs(60),
            reconcile_interval: Duration::ZERO,
            transport: Wire { world: self.world.clone(), actor: actor.clone() }.transport(),
            seed: Some(self.world.stage.within(0..=u64::MAX)),
            ..WorkerSettings::default()
        };
        let parts = WorkerParts { metadata, queue: Arc::new(queue), settings, registry: prometheus::Registry::new() };
        let worker = Worker::new(parts).unwrap();
        self.working.push(tokio::spawn(worker.run(CancellationToken::new())));
        self.hired += 1;
        self.world.stage.note(&format!("{actor} begins"));
    }

    /// Kills one of them wherever it is.
    pub fn kill(&mut self, which: u64) {
        if !self.working.is_empty() {
            let which = usize::try_from(which).unwrap() % self.working.len();
            self.working.remove(which).abort();
            self.world.stage.note("a worker dies");
        }
    }
}

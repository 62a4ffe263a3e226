//! One schedule from its seed to its verdict: some seconds of writes and faults, then fair weather until everything is at rest, then a
//! walk for what only a walk can find.
use super::crew::Crew;
use super::director::{Director, STRAY};
use super::ground::Plots;
use super::panics;
use super::proxy::Proxy;
use super::queue::Watched;
use super::seat::{self, At, Seat};
use super::stage::{Outcome, Stage, Still, Turn, await_rest};
use super::world::{Flaw, World};
use s3gateway_store::{BucketId, FindingKind, Metadata, Queue, WalkKind, WalkState};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

/// Virtual seconds of fair weather within which everything must be at rest.
const PATIENCE: u64 = 300;

/// Plays the schedule of a seed. The same seed is the same schedule.
pub fn play(plots: &mut Plots<'_>, seed: u64, flaw: Flaw) -> Outcome {
    panics::forget();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(seed, flaw, plots.redis());
        let (metadata, bucket) = {
            let _still = Still::hold();
            plots.lay_out(world.replica_count).await
        };
        // The SDK's own jitter; who makes a folder draws from it, too.
        fastrand::seed(seed);
        let history = metadata.clone();
        let stage = world.stage.clone();
        let queue = if world.redis.is_some() { "Redis" } else { "the database" };
        stage.note(&format!("{:?}, {} copies, the queue in {queue}", world.weather(), world.replica_count));
        let schedule = Schedule::new(world, metadata, bucket);
        tokio::spawn(stage.clone().direct(history.clone()));
        // Nothing happens after its last turn, which is held.
        let _last = tokio::select! {
            biased;
            () = stage.failure() => None,
            last = tokio::spawn(schedule.run()) => Some(last.unwrap()),
        };
        let _still = Still::hold();
        for job in history.jobs(None, None, 1000).await.unwrap().rows.iter().rev() {
            let took = job.finished_at - job.started_at;
            stage.note(&format!("job {} {}: {} ({took} ms)", job.key.as_str(), job.outcome, job.detail));
        }
        await_rest(&history).await;
        if let Some(panic) = panics::seen() {
            stage.fail(format!("panicked: {panic}"));
        }
        stage.end()
    })
}

struct Schedule {
    world: Arc<World>,
    stage: Arc<Stage>,
    metadata: Metadata,
    director: Director,
    crew: Crew,
    queue: Watched,
}

impl Schedule {
    fn new(world: Arc<World>, metadata: Metadata, bucket: BucketId) -> Self {
        let seat = Arc::new(Seat { world: world.clone(), at: At::Database, is_sheltered: true });
        let sheltered = metadata.conducted(seat);
        let size = usize::try_from(world.stage.within(1..=3)).unwrap();
        let queue = Watched::new(&world, "operator".to_owned(), &sheltered, &metadata, true);
        let reader = seat::queue(&world, &sheltered, true);
        let strays = Mutex::default();
        let director = Director { world: world.clone(), metadata: sheltered, queue: reader, bucket, strays };
        let crew = Crew::new(world.clone(), metadata.clone(), size);
        Self { stage: world.stage.clone(), world, metadata, director, crew, queue }
    }

    async fn run(mut self) -> Turn {
        while self.crew.is_short() {
            self.crew.hire();
        }
        let mut proxies = self.proxies();
        tokio::select! {
            biased;
            () = async { while proxies.join_next().await.is_some() {} } => {}
            () = self.director.run(&mut self.crew) => {}
        }
        self.world.clear_up();
        if self.crew.is_short() {
            self.crew.hire();
        }
        self.rest("the queue").await;
        let mut reported = BTreeSet::new();
        if !self.world.excused().is_empty() || self.stage.happens(50) {
            self.stage.note(&format!("excused: {:?}", self.world.excused()));
            reported = self.walk().await;
            self.rest("the queue after a walk").await;
        }
        let turn = self.stage.turn(0).await;
        self.world.judge(&reported);
        for id in self.director.strays.lock().unwrap().iter() {
            if !self.world.site(id).held.lock().unwrap().objects.contains_key(STRAY) {
                self.stage.fail(format!("somebody else's object is gone at {id}"));
            }
        }
        turn
    }

    fn proxies(&self) -> JoinSet<()> {
        let mut proxies = JoinSet::new();
        for number in 0..self.stage.within(1..=3) {
            let name = format!("c{number}");
            let seat = Arc::new(Seat { world: self.world.clone(), at: At::Database, is_sheltered: false });
            let metadata = self.metadata.conducted(seat);
            let queue = Watched::new(&self.world, name.clone(), &metadata, &self.metadata, false);
            let (world, bucket) = (self.world.clone(), self.director.bucket.clone());
            proxies.spawn(Proxy { world, name, queue, metadata, bucket }.run());
        }
        proxies
    }

    /// Approves walks that wait because the home lists nothing, as an operator does who knows that there is nothing.
    async fn approve_walks(&self) {
        if !self.world.home().held.lock().unwrap().objects.is_empty() {
            return;
        }
        let (metadata, bucket) = (&self.director.metadata, &self.director.bucket);
        for walk in metadata.walks_of(bucket, 10).await.unwrap().into_iter().filter(|walk| !walk.state.is_final()) {
            metadata.approve_walk(&walk.id).await.unwrap();
        }
    }

    /// Waits until nothing is dirty; what was given up in bad weather is redriven as an operator would.
    async fn rest(&self, what: &str) {
        let until = self.stage.millis() + PATIENCE * 1000;
        loop {
            self.queue.redrive(None).await.unwrap();
            self.approve_walks().await;
            let depth = self.queue.depth().await.unwrap();
            // Nor may there be anything left that Redis could have forgotten.
            let is_at_rest = depth.dirty == 0 && !self.world.is_anything_under_way();
            if is_at_rest && self.queue.is_bucket_clean(&self.director.bucket).await.unwrap() {
                self.world.remembered();
                return;
            }
            if self.stage.millis() > until {
                self.stage.fail(format!("{what} is not drained after {PATIENCE} s of fair weather: {depth:?}"));
                return std::future::pending().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Walks the bucket to its end; the keys of which it reports a copy that the home does not have.
    async fn walk(&self) -> BTreeSet<String> {
        let until = self.stage.millis() + PATIENCE * 1000;
        let metadata = &self.director.metadata;
        let mut walk = None;
        while self.stage.millis() < until {
            if walk.is_none() {
                // One that was begun in bad weather may be under way still.
                walk = self.director.begin_walk(WalkKind::Deep).await;
            }
            self.approve_walks().await;
            if let Some(begun) = &walk {
                let now = metadata.walk(&begun.id).await.unwrap();
                if now.state == WalkState::Done {
                    let findings = metadata.walk_findings(&now.id).await.unwrap();
                    let foreign = findings.into_iter().filter(|one| one.kind == FindingKind::Foreign);
                    return foreign.map(|one| one.key.as_str().to_owned()).collect();
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.stage.fail(format!("the walk is not done after {PATIENCE} s of fair weather"));
        std::future::pending().await
    }
}

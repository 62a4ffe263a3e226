//! Who and what there is in a schedule: backends, their roles, the weather and the clocks.
use super::ask::Ask;
use super::held::Held;
use super::judge::Known;
use super::seat;
use super::server::{Databases, Redis};
use super::stage::Stage;
use super::weather::Weather;
use s3gateway_store::Clocks;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Something that is wrong on purpose, so that the judge is seen to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The queue clears a mark whatever was written since it was claimed.
    ForgottenSequence,
    /// A proxy writes first and marks then.
    LateMark,
    /// A proxy's mark is gone before its write has landed.
    EarlyCommit,
    /// A backend keeps other bytes than it shows the ETag of.
    UnseenLies,
    /// A home says that it has not what it has.
    FalseAbsence,
    /// Redis forgets, and seems to be the same as before.
    UnseenRestart,
    /// A worker forgets what it has sent and has no answer to.
    ForgottenSends,
}

/// What a backend is to the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Home,
    /// One of the others of the placement, allowed.
    Place,
    /// One of the placement that the policy denies.
    Forbidden,
}

/// A backend.
pub struct Site {
    pub id: &'static str,
    pub role: Role,
    pub held: Mutex<Held>,
    away_until: AtomicU64,
}

/// Ids and roles, in the order of the placement.
pub const SITES: [(&str, Role); 4] =
    [("fi-hel", Role::Home), ("de-fra", Role::Place), ("us-iad", Role::Forbidden), ("nl-ams", Role::Place)];

impl Site {
    pub fn is_away(&self, now: u64) -> bool {
        now < self.away_until.load(Ordering::Relaxed)
    }

    pub fn go_away(&self, until: u64) {
        self.away_until.store(until, Ordering::Relaxed);
    }
}

/// All of it.
pub struct World {
    pub stage: Arc<Stage>,
    pub sites: Vec<Arc<Site>>,
    pub flaw: Flaw,
    /// Copies that the bucket wants of each object, the home's included.
    pub replica_count: usize,
    /// The home's ETags are no MD5s.
    pub home_encrypts: bool,
    /// What the judge knows of each key.
    pub known: Mutex<BTreeMap<String, Known>>,
    /// Where the queue is, if not in the database.
    pub redis: Option<Redis>,
    /// Requests and writes that have been sent and have not landed; one holder each.
    pub under_way: Arc<()>,
    weather: Mutex<Arc<Weather>>,
    /// By how much the database's clock and the processes' are off.
    jumps: Mutex<(i64, i64)>,
}

impl World {
    pub fn new(seed: u64, flaw: Flaw, databases: Arc<Databases>) -> Arc<Self> {
        let stage = Stage::new(seed);
        let redis = stage.happens(500).then(|| Redis::new(databases));
        let mut weather = Weather::draw(&stage, redis.is_some());
        if flaw == Flaw::ForgottenSends {
            // In most schedules few requests land after the next writes of their keys are clean.
            weather.late = 150;
        }
        let weather = Mutex::new(Arc::new(weather));
        let site = |(id, role): (&'static str, Role)| {
            let held = Held { has_bucket: role == Role::Home, ..Held::default() };
            Arc::new(Site { id, role, held: Mutex::new(held), away_until: AtomicU64::new(0) })
        };
        let sites = SITES.into_iter().map(site).collect();
        let replica_count = if stage.happens(500) { 2 } else { 3 };
        let home_encrypts = stage.happens(250);
        let (known, jumps) = (Mutex::default(), Mutex::default());
        Arc::new(Self {
            stage,
            sites,
            flaw,
            replica_count,
            home_encrypts,
            known,
            redis,
            under_way: Arc::default(),
            weather,
            jumps,
        })
    }

    pub fn is_anything_under_way(&self) -> bool {
        Arc::strong_count(&self.under_way) > 1
    }

    pub fn weather(&self) -> Arc<Weather> {
        self.weather.lock().unwrap().clone()
    }

    /// No faults from here on.
    pub fn clear_up(&self) {
        *self.weather.lock().unwrap() = Arc::default();
        self.sites.iter().for_each(|site| site.go_away(0));
        self.redis.iter().for_each(|redis| redis.go_away(0));
        self.stage.note("the weather clears up");
    }

    pub fn site(&self, id: &str) -> Arc<Site> {
        self.sites.iter().find(|site| site.id == id).unwrap().clone()
    }

    /// Under [`Flaw::FalseAbsence`]: for some seconds of each ten, the home has no object of the first key.
    pub fn denies(&self, ask: &Ask) -> bool {
        let is_read = matches!(ask.method.as_str(), "HEAD" | "GET") && !ask.key.is_empty();
        is_read && ask.key == "k0" && self.stage.millis() % 10_000 < 4000
    }

    pub fn home(&self) -> &Site {
        &self.sites[0]
    }

    pub fn clocks(&self) -> Clocks {
        let (database, process) = *self.jumps.lock().unwrap();
        seat::clocks(&self.stage, database, process)
    }

    pub fn jump(&self, database: i64, process: i64) {
        let mut jumps = self.jumps.lock().unwrap();
        *jumps = (jumps.0 + database, jumps.1 + process);
    }
}

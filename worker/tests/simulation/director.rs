//! What befalls the processes and backends of a schedule, second by second: workers die and others come, backends go away, clocks
//! jump, and somebody changes replicas behind the gateway's back.
use super::crew::Crew;
use super::held::Stored;
use super::server::Redis;
use super::world::{Flaw, Role, Site, World};
use s3gateway_s3::ObjectKey;
use s3gateway_store::{BucketId, DirtyKey, Metadata, NewWalk, Queue, WalkKind};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Director {
    pub world: Arc<World>,
    /// Sheltered.
    pub metadata: Metadata,
    /// As a proxy has it.
    pub queue: Arc<dyn Queue>,
    pub bucket: BucketId,
    /// Where somebody has written what the gateway knows nothing of.
    pub strays: Mutex<BTreeSet<&'static str>>,
}

impl Director {
    /// Goes on until dropped.
    pub async fn run(&self, crew: &mut Crew) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.second(crew).await;
        }
    }

    async fn second(&self, crew: &mut Crew) {
        let (stage, weather) = (&self.world.stage, self.world.weather());
        let _turn = stage.turn(0).await;
        if stage.happens(weather.worker_dies) {
            crew.kill(stage.within(0..=9));
        }
        if crew.is_short() && stage.happens(400) {
            crew.hire();
        }
        if stage.happens(weather.goes_away) {
            let site = self.any_site();
            let until = stage.millis() + stage.within(500..=8000);
            site.go_away(until);
            stage.note(&format!("{} is away until {until}", site.id));
        }
        if let Some(redis) = &self.world.redis {
            self.happens_to(redis);
        }
        if stage.happens(weather.jumps) {
            let by = i64::try_from(stage.within(0..=20_000)).unwrap() - 8000;
            let (database, process) = if stage.happens(500) { (by, 0) } else { (0, by) };
            self.world.jump(database, process);
            stage.note(&format!("clocks jump: database {database}, processes {process}"));
        }
        if stage.happens(weather.meddling) {
            self.meddle();
        }
        let walks = stage.happens(30);
        let reads = stage.happens(300).then(|| stage.within(0..=2));
        drop(_turn);
        if let Some(number) = reads {
            self.ask(&format!("k{number}")).await;
        }
        if walks {
            self.begin_walk(WalkKind::Reconcile).await;
        }
    }

    fn happens_to(&self, redis: &Redis) {
        let (stage, weather) = (&self.world.stage, self.world.weather());
        if stage.happens(weather.redis_forgets) {
            redis.restart(self.world.flaw != Flaw::UnseenRestart);
            stage.note("Redis is restarted without its last second");
            self.world.forgotten();
        } else if weather.redis_forgets > 0 {
            redis.databases.save();
        }
        if stage.happens(weather.redis_goes_away) {
            let until = stage.millis() + stage.within(500..=6000);
            redis.go_away(until);
            stage.note(&format!("Redis is away until {until}"));
        }
    }

    /// As a proxy that would read a key elsewhere than at its home.
    async fn ask(&self, key: &str) {
        let dirty = DirtyKey { bucket: self.bucket.clone(), key: ObjectKey::parse(key).unwrap() };
        let since = self.world.stage.millis();
        if self.queue.is_clean(&dirty).await.is_ok_and(|is_clean| is_clean) {
            self.world.said_to_be_clean(key, since);
        }
    }

    pub async fn begin_walk(&self, kind: WalkKind) -> Option<s3gateway_store::Walk> {
        self.world.stage.note(&format!("a walk is asked for: {}", kind.as_str()));
        let new = NewWalk { bucket: self.bucket.clone(), kind, rate: 0, reason: "simulation".to_owned() };
        // There may be one already.
        self.metadata.begin_walk(new).await.ok()
    }

    fn any_site(&self) -> &Site {
        let sites = &self.world.sites;
        &sites[usize::try_from(self.world.stage.within(0..=3)).unwrap() % sites.len()]
    }

    fn meddle(&self) {
        let (stage, site) = (&self.world.stage, self.any_site());
        if site.role != Role::Place {
            return;
        }
        let key = format!("k{}", stage.within(0..=2));
        let how = stage.within(0..=3);
        {
            let mut held = site.held.lock().unwrap();
            if !held.has_bucket {
                return;
            }
            if how == 3 {
                // A stranger's object, under a name that the gateway has never heard of.
                let stray = Stored::whole("somebody's".into(), Default::default(), Default::default());
                held.objects.insert(STRAY.to_owned(), stray);
                self.strays.lock().unwrap().insert(site.id);
                return stage.note(&format!("somebody writes {STRAY} at {}", site.id));
            }
            let Some(object) = held.objects.get_mut(&key) else { return };
            match how {
                0 => drop(held.objects.remove(&key)),
                1 => *object = Stored::whole("forged".into(), Default::default(), Default::default()),
                _ => object.body = object.corrupted(),
            }
        }
        stage.note(&format!("somebody changes {key} at {} ({how})", site.id));
        self.world.landed("meddler", site, &key, Some("a replica was changed behind the gateway's back"));
    }
}

/// A key of which only replicas know.
pub const STRAY: &str = "stray";

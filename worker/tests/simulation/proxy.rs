//! A proxy that writes as the protocol says: intent, the write at the home, commit or release; or dies in between.
use super::held::{Stored, Words};
use super::judge::COUNT_TAG;
use super::queue::Watched;
use super::world::{Flaw, World};
use bytes::Bytes;
use s3gateway_s3::ObjectKey;
use s3gateway_store::queue::Mark;
use s3gateway_store::{BucketId, DirtyKey, Metadata, Queue};
use std::sync::Arc;
use std::time::Duration;

/// How long a write may be in flight without a word.
pub const LEASE: Duration = Duration::from_secs(8);
/// Keys that are written.
const KEYS: u64 = 3;

pub struct Proxy {
    pub world: Arc<World>,
    pub name: String,
    pub queue: Watched,
    pub metadata: Metadata,
    pub bucket: BucketId,
}

/// What a write leaves at the home, made of what is there when it lands.
type Change = Box<dyn Fn(Option<&Stored>) -> Option<Stored> + Send>;

/// What the home said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Done,
    Refused,
    None,
}

impl Proxy {
    /// Some writes, one after the other.
    pub async fn run(self) {
        let writes = self.world.stage.within(2..=6);
        for number in 0..writes {
            let pause = self.world.stage.within(1..=2500);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let key = format!("k{}", self.world.stage.within(0..=KEYS - 1));
            let (what, change) = self.draw(number);
            self.world.stage.note(&format!("{} begins: {what} {key}", self.name));
            self.write(&key, change, matches!(what, "tag" | "describe")).await;
        }
    }

    fn draw(&self, number: u64) -> (&'static str, Change) {
        let stage = &self.world.stage;
        let text =
            |length: u64| Bytes::from(format!("{} {number} ", self.name).repeat(usize::try_from(length).unwrap()));
        let headers = Words::from([("content-type".to_owned(), "text/plain".to_owned())]);
        let author = ("x-amz-meta-by".to_owned(), format!("{}-{number}", self.name));
        let count = (COUNT_TAG.to_owned(), stage.within(1..=3).to_string());
        let encrypts = self.world.home_encrypts;
        let kept = move |stored: Stored| Some(if encrypts { stored.encrypted() } else { stored });
        match stage.within(0..=9) {
            0 | 1 => ("delete", Box::new(|_| None)),
            2 => {
                let parts: Vec<Bytes> = (0..stage.within(1..=3)).map(|part| text(part + 3)).collect();
                ("put in parts", Box::new(move |_| kept(Stored::of_parts(&parts, headers.clone()))))
            }
            3 => (
                "tag",
                Box::new(move |now| now.map(|now| Stored { tags: Words::from([count.clone()]), ..now.clone() })),
            ),
            4 => (
                "describe",
                Box::new(move |now| {
                    now.map(|now| Stored { headers: Words::from([author.clone()]), modified: 0, ..now.clone() })
                }),
            ),
            5 => ("put nothing", Box::new(move |_| kept(Stored::whole(Bytes::new(), Words::new(), Words::new())))),
            6 => {
                let (body, tags) = (text(stage.within(1..=20)), Words::from([("of".to_owned(), self.name.clone())]));
                ("put with tags", Box::new(move |_| kept(Stored::whole(body.clone(), headers.clone(), tags.clone()))))
            }
            _ => {
                let body = text(stage.within(1..=20));
                ("put", Box::new(move |_| kept(Stored::whole(body.clone(), Words::new(), Words::new()))))
            }
        }
    }

    /// `is_unlisted`: no listing may show it.
    async fn write(&self, key: &str, change: Change, is_unlisted: bool) {
        let (stage, weather) = (&self.world.stage, self.world.weather());
        let dirty = DirtyKey { bucket: self.bucket.clone(), key: ObjectKey::parse(key).unwrap() };
        if self.world.flaw == Flaw::LateMark {
            let _turn = stage.turn(10).await;
            self.land(key, &change, i64::MAX);
            drop(_turn);
            let _ = self.queue.mark(&dirty, &self.name).await;
            return;
        }
        if is_unlisted
            && self.queue.may_forget()
            && self.metadata.note_unlisted_write(&dirty.bucket, &dirty.key).await.is_err()
        {
            return;
        }
        let begun = self.world.clocks().database;
        let Ok(mark) = self.queue.intent(&dirty, &self.name, LEASE).await else { return };
        if self.world.flaw == Flaw::EarlyCommit {
            let _ = self.queue.commit(&dirty, &mark, &self.name).await;
        }
        let mut ends = begun + i64::try_from(LEASE.as_millis()).unwrap();
        if stage.happens(weather.slow) {
            // A long upload, whose lease is renewed before its last bytes leave.
            tokio::time::sleep(Duration::from_millis(stage.within(1000..=12_000))).await;
            ends = self.world.clocks().database + i64::try_from(LEASE.as_millis()).unwrap();
            if self.queue.renew(&dirty, &mark, LEASE).await.is_err() {
                return;
            }
        }
        let answer = self.send(key, change, ends).await;
        if stage.happens(weather.proxy_dies) {
            return stage.note(&format!("{} dies over {key}", self.name));
        }
        self.settle(&dirty, &mark, answer).await;
    }

    async fn settle(&self, dirty: &DirtyKey, mark: &Mark, answer: Answer) {
        match answer {
            Answer::Done => {
                for _ in 0..3 {
                    if self.queue.commit(dirty, mark, &self.name).await.is_ok() {
                        self.world.stage.note(&format!("{} acknowledges {}", self.name, dirty.key.as_str()));
                        return self.world.acknowledged(dirty.key.as_str());
                    }
                }
            }
            Answer::Refused => drop(self.queue.release(dirty, mark).await),
            // Nobody knows what became of it: the lease runs out, and the key is looked at.
            Answer::None => {}
        }
    }

    /// The write itself. `ends`: when its lease does, by the database's clock.
    async fn send(&self, key: &str, change: Change, ends: i64) -> Answer {
        let (stage, weather) = (&self.world.stage, self.world.weather());
        let turn = stage.turn(stage.within(1..=60)).await;
        let is_away = self.world.home().is_away(stage.millis());
        if is_away || stage.happens(weather.lost) {
            return Answer::None;
        }
        if stage.happens(weather.throttled) || stage.happens(weather.broken) {
            return Answer::Refused;
        }
        if stage.happens(weather.late) {
            drop(turn);
            // It may land whenever its lease has not run out.
            let (world, name, key) = (self.world.clone(), self.name.clone(), key.to_owned());
            let (delay, under_way) = (stage.within(100..=4000), self.world.under_way.clone());
            tokio::spawn(async move {
                let _under_way = under_way;
                let _turn = world.stage.turn(delay).await;
                land(&world, &name, &key, &change, ends);
            });
            return Answer::None;
        }
        self.land(key, &change, ends);
        if stage.happens(weather.answer_lost) { Answer::None } else { Answer::Done }
    }

    fn land(&self, key: &str, change: &Change, ends: i64) {
        land(&self.world, &self.name, key, change, ends);
    }
}

fn land(world: &World, name: &str, key: &str, change: &Change, ends: i64) {
    let home = world.home();
    {
        let mut held = home.held.lock().unwrap();
        held.now = world.stage.millis();
        match change(held.objects.get(key)) {
            // Tags alone leave no trace in a listing.
            Some(after) if after.modified > 0 => drop(held.objects.insert(key.to_owned(), after)),
            Some(after) => held.keep(key, after),
            None => drop(held.objects.remove(key)),
        }
    }
    let is_late = world.clocks().database >= ends;
    world.stage.note(&format!("{name} has written {key}{}", if is_late { " after its lease" } else { "" }));
    world.landed(name, home, key, is_late.then_some("a write landed after its lease"));
}

//! The queue of dirty keys on Redis Streams.
//! Invariant: a dirty key stands in exactly one place of its shard: in one of its streams, waiting for a lease, delayed, or dead.
//! Invariant: whatever changes a key's record is one script over keys of one hash tag, so Redis Cluster can hold any shard anywhere.
mod letters;
mod members;
mod sharing;
mod tour;
mod trust;

use super::connection::{Conducted, Connection};
use super::scripts::{SCRIPTS, Script};
use super::{
    ALONE, Cleared, Company, DeadLetter, DeadPage, Depth, DirtyKey, DirtyPage, Disturbance, Holder, Job, Lane,
    LetterCursor, Mark, Queue, parse_late,
};
use crate::{BucketId, Conductor, Metadata, StoreError};
use ::redis::{FromRedisValue, Value};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use members::{
    BUCKETS, DIRTY, parse_count, parse_job, parse_member, parse_since, render_lane, render_member, shard_keys,
};
use s3gateway_config::BackendId;
use sha2::{Digest, Sha256};
use sharing::{Swept, Tours};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tour::{Seen, SeenLane, Tour};
use trust::Trust;

/// Shards asked at once: one connection carries them, so it bounds what an answer's burst can hold, not sockets.
const SHARDS_AT_ONCE: usize = 64;
/// More would make each look into an idle queue cost more than the work it finds.
const MOST_SHARDS: u32 = 4096;
/// Members looked at by one scan, which blocks the server while it runs.
const SCANNED_AT_ONCE: u32 = 1000;
/// Keys marked by one script, for the same reason.
const MARKED_AT_ONCE: usize = 200;
/// How the record of a queue is written in Redis; a queue of another layout is refused.
const LAYOUT: u32 = 3;

/// The queue on one Redis server or a Redis Cluster. Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct RedisQueue {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    prefix: String,
    shards: Vec<Vec<String>>,
    is_agreed: OnceCell<()>,
    tours: Tours,
    swept: Swept,
    trust: Trust,
}

impl RedisQueue {
    /// Prepares the queue on the server (one address) or cluster (several). The connection is made at the first use and
    /// made again whenever it breaks, so a Redis that is away now is no error here.
    ///
    /// `ca`: in PEM, whom servers at `rediss://…` are believed by instead of the system's CAs.
    /// `prefix` begins every Redis key. `shards` is fixed for the life of the queue: another number is refused at first use.
    /// `metadata` says which servers can be believed about what they do not know; without it all are.
    ///
    /// # Errors
    /// `Invalid` for an address, a CA, a prefix or a shard count that cannot be.
    #[allow(clippy::unused_async)] // the connection's tasks need the runtime that awaits this
    pub async fn connect(
        urls: &[String],
        ca: Option<&[u8]>,
        prefix: &str,
        shards: u32,
        metadata: Option<Metadata>,
    ) -> Result<Self, StoreError> {
        Self::on(Connection::new(urls, ca)?, prefix, shards, metadata)
    }

    /// The queue as a process of a simulation has it, on the server at `url`, whose `conductor` says when each operation happens.
    ///
    /// # Errors
    /// As [`Self::connect`]; `Unavailable` where the server does not answer.
    pub fn conducted(
        url: &str,
        prefix: &str,
        shards: u32,
        metadata: Metadata,
        conductor: Arc<dyn Conductor>,
    ) -> Result<Self, StoreError> {
        let connection = Connection::Conducted(Box::new(Conducted::new(url, conductor)?));
        Self::on(connection, prefix, shards, Some(metadata))
    }

    fn on(connection: Connection, prefix: &str, shards: u32, metadata: Option<Metadata>) -> Result<Self, StoreError> {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
            return Err(StoreError::Invalid("redis: the prefix is letters, digits and - _ . : only".into()));
        }
        if shards == 0 || shards > MOST_SHARDS {
            return Err(StoreError::Invalid(format!("redis: shards is 1 to {MOST_SHARDS}")));
        }
        let shared = Shared {
            connection,
            prefix: prefix.to_owned(),
            shards: (0..shards).map(|shard| shard_keys(prefix, shard)).collect(),
            is_agreed: OnceCell::new(),
            tours: Tours::default(),
            swept: Swept::default(),
            trust: metadata.map(Trust::in_metadata).unwrap_or_default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn run_on_key<T: FromRedisValue>(
        &self,
        script: &Script,
        key: &DirtyKey,
        args: &[&[u8]],
    ) -> Result<T, StoreError> {
        let member = render_member(key)?;
        let mut all: Vec<&[u8]> = vec![&member];
        all.extend(args);
        self.run(script, self.shard_of(&member), &all).await
    }

    async fn run<T: FromRedisValue>(&self, script: &Script, keys: &[String], args: &[&[u8]]) -> Result<T, StoreError> {
        self.agree_on_shard_count().await?;
        self.shared.connection.run(script, keys, args).await
    }

    /// Asks all shards the same, in their order.
    async fn run_everywhere<T: FromRedisValue>(&self, script: &Script, args: &[&[u8]]) -> Result<Vec<T>, StoreError> {
        let asks: Vec<_> = self.shared.shards.iter().map(|keys| self.run(script, keys, args)).collect();
        stream::iter(asks).buffered(SHARDS_AT_ONCE).try_collect().await
    }

    /// A key looked for in another shard than it was marked in, or in records that this version cannot read, would seem clean.
    async fn agree_on_shard_count(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let ask = || async {
            let ours = shared.shards.len();
            let key = format!("{}:shards", shared.prefix);
            let text = format!("{ours} layout {LAYOUT}");
            shared.connection.send::<Value>(::redis::cmd("SETNX").arg(&key).arg(&text)).await?;
            let stands: String = shared.connection.send(::redis::cmd("GET").arg(&key)).await?;
            match stands.split_once(" layout ") {
                _ if stands == text => Ok(()),
                Some((count, layout)) if layout == LAYOUT.to_string() => Err(StoreError::Invalid(format!(
                    "redis: this queue has {count} shards, not {ours}; the number is fixed"
                ))),
                _ => Err(StoreError::Invalid(
                    "redis: this queue was written by another version; drain it with that one, or use another prefix"
                        .into(),
                )),
            }
        };
        shared.is_agreed.get_or_try_init(ask).await.copied()
    }

    fn shard_index(&self, member: &[u8]) -> usize {
        let digest: [u8; 32] = Sha256::digest(member).into();
        let [a, b, c, d, ..] = digest;
        let count = u32::try_from(self.shared.shards.len()).unwrap_or(1).max(1);
        (u32::from_be_bytes([a, b, c, d]) % count) as usize
    }

    fn keys_of(&self, shard: usize) -> &[String] {
        self.shared.shards.get(shard).map_or(&[], Vec::as_slice)
    }

    fn shard_of(&self, member: &[u8]) -> &[String] {
        self.keys_of(self.shard_index(member))
    }

    /// Where a listing of all shards goes on; `at`: the cursor that the scan of this one has answered.
    fn place_after(&self, shard: usize, at: &str) -> Option<String> {
        let shard = if at == "0" { shard + 1 } else { shard };
        (shard < self.shared.shards.len()).then(|| format!("{shard} {at}"))
    }

    async fn take_lease(
        &self,
        key: &DirtyKey,
        name: String,
        request_id: &str,
        lease: Duration,
        is_renewal: bool,
    ) -> Result<Mark, StoreError> {
        let is_renewal: &[u8] = if is_renewal { b"1" } else { b"0" };
        let args = [name.as_bytes(), &millis(lease).into_bytes(), request_id.as_bytes(), is_renewal];
        match self.run_on_key(&SCRIPTS.intent, key, &args).await? {
            0 => Err(StoreError::Busy),
            sequence => Ok(Mark { holder: Holder::Redis, sequence, lease: name }),
        }
    }

    async fn delay(&self, job: &Job, delay: Duration, attempts: &[u8]) -> Result<(), StoreError> {
        let args =
            [&job.sequence.to_string().into_bytes(), job.handle.as_bytes(), &millis(delay).into_bytes(), attempts];
        self.run_on_key::<bool>(&SCRIPTS.retry, &job.key, &args).await.map(drop)
    }

    async fn claim_from(
        &self,
        shard: usize,
        lane: Lane,
        consumer: &str,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        let (limit, stale) = (limit.to_string(), millis(lease));
        let args = [render_lane(lane), consumer.as_bytes(), limit.as_bytes(), stale.as_bytes()];
        let rows: Vec<Value> = self.run(&SCRIPTS.claim, self.keys_of(shard), &args).await?;
        let found = rows.len();
        let jobs: Vec<Job> = rows.into_iter().filter_map(|row| parse_job(row, lane)).collect();
        if jobs.len() < found {
            tracing::error!(unreadable = found - jobs.len(), "jobs that no gateway of this version has written");
        }
        Ok(jobs)
    }

    /// Learns what these shards have.
    async fn look_at(&self, tour: &Tour, shards: Vec<usize>, lease: Duration) -> Result<(), StoreError> {
        let stale = millis(lease);
        let look = |shard: usize| {
            let stale = stale.as_bytes();
            async move {
                let args = [stale];
                let seen: [(usize, usize, i64); 2] = self.run(&SCRIPTS.look, self.keys_of(shard), &args).await?;
                Ok::<_, StoreError>((shard, Seen(seen.map(|(ready, stale, oldest)| SeenLane { ready, stale, oldest }))))
            }
        };
        let looks: Vec<_> = shards.into_iter().map(look).collect();
        let seen: Vec<(usize, Seen)> = stream::iter(looks).buffer_unordered(SHARDS_AT_ONCE).try_collect().await?;
        tour.note(seen);
        Ok(())
    }

    /// Claims what the tour knows of, until there are `limit` or it knows of no more.
    async fn claim_known(
        &self,
        tour: &Tour,
        lane: Lane,
        consumer: &str,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        let mut jobs: Vec<Job> = Vec::new();
        loop {
            let chosen = tour.choose(lane, limit - jobs.len());
            if chosen.is_empty() {
                return Ok(jobs);
            }
            let claims: Vec<_> =
                chosen.iter().map(|(shard, share)| self.claim_from(*shard, lane, consumer, *share, lease)).collect();
            let answers: Vec<_> = stream::iter(claims).buffered(SHARDS_AT_ONCE).collect().await;
            // What some shards gave is kept even where another fails: it is claimed and must be worked on.
            let mut failed = None;
            for ((shard, share), answer) in chosen.into_iter().zip(answers) {
                match answer {
                    Ok(claimed) => {
                        tour.took(shard, lane, share, claimed.len(), claimed.last().map(|job| job.dirty_since));
                        jobs.extend(claimed);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            match failed {
                Some(error) if jobs.is_empty() => return Err(error),
                Some(_) => return Ok(jobs),
                None => {}
            }
        }
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn intent(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        self.take_lease(key, format!("{:016x}", rand::random::<u64>()), request_id, lease, false).await
    }

    async fn intent_alone(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        self.take_lease(key, format!("{ALONE}{:016x}", rand::random::<u64>()), request_id, lease, false).await
    }

    async fn renew(&self, key: &DirtyKey, mark: &Mark, lease: Duration) -> Result<i64, StoreError> {
        self.take_lease(key, mark.lease.clone(), "", lease, true).await.map(|mark| mark.sequence)
    }

    async fn disturbance(&self, key: &DirtyKey, mark: &Mark) -> Result<Disturbance, StoreError> {
        let sequence = mark.sequence.to_string();
        let args = [sequence.as_bytes(), mark.lease.as_bytes()];
        let (company, late): (u8, Vec<String>) = self.run_on_key(&SCRIPTS.disturbance, key, &args).await?;
        let company = match company {
            0 => Company::Nobody,
            1 => Company::Unclaimed,
            2 => Company::Worker,
            _ => Company::Writers,
        };
        Ok(Disturbance { company, late: late.iter().map(|name| parse_late(name)).collect::<Result<_, _>>()? })
    }

    async fn commit(&self, key: &DirtyKey, mark: &Mark, request_id: &str) -> Result<(), StoreError> {
        let args = [mark.lease.as_bytes(), request_id.as_bytes()];
        self.run_on_key::<i64>(&SCRIPTS.commit, key, &args).await.map(drop)
    }

    async fn release(&self, key: &DirtyKey, mark: &Mark) -> Result<(), StoreError> {
        self.run_on_key::<i64>(&SCRIPTS.release, key, &[mark.lease.as_bytes()]).await.map(drop)
    }

    async fn note_late(&self, key: &DirtyKey, at: &[BackendId], within: Duration) -> Result<(), StoreError> {
        let within = millis(within);
        let args: Vec<&[u8]> =
            std::iter::once(within.as_bytes()).chain(at.iter().map(|id| id.as_str().as_bytes())).collect();
        self.run_on_key::<bool>(&SCRIPTS.late, key, &args).await.map(drop)
    }

    /// Keys of one shard go over together, a limited number at once, and all shards' at the same time.
    async fn mark_all(&self, keys: &[DirtyKey], request_id: &str) -> Result<(), StoreError> {
        let mut by_shard: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for key in keys {
            let member = render_member(key)?;
            by_shard.entry(self.shard_index(&member)).or_default().push(member);
        }
        let mark = |shard: usize, members: Vec<Vec<u8>>| async move {
            let args: Vec<&[u8]> =
                std::iter::once(request_id.as_bytes()).chain(members.iter().map(Vec::as_slice)).collect();
            self.run::<u64>(&SCRIPTS.mark, self.keys_of(shard), &args).await.map(drop)
        };
        let marks: Vec<_> = by_shard
            .into_iter()
            .flat_map(|(shard, members)| {
                members.chunks(MARKED_AT_ONCE).map(|some| mark(shard, some.to_vec())).collect::<Vec<_>>()
            })
            .collect();
        stream::iter(marks).buffer_unordered(SHARDS_AT_ONCE).try_collect().await
    }

    async fn is_marked(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        self.agree_on_shard_count().await?;
        let member = render_member(key)?;
        let dirty = self.shard_of(&member).get(DIRTY);
        self.shared.connection.send(::redis::cmd("HEXISTS").arg(dirty).arg(&member)).await
    }

    async fn is_clean(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        self.agree_on_shard_count().await?;
        let member = render_member(key)?;
        self.proves_absent(self.shard_of(&member), DIRTY, &member, &key.bucket).await
    }

    async fn proves(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        for run_id in self.run_ids().await? {
            if !self.shared.trust.proves(run_id, bucket).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn may_forget(&self) -> bool {
        true
    }

    async fn settle(&self) -> Result<(), StoreError> {
        for keys in &self.shared.shards {
            let mut cursor = "0".to_owned();
            loop {
                let args = [cursor.as_bytes(), &SCANNED_AT_ONCE.to_string().into_bytes()];
                cursor = self.run(&SCRIPTS.settle, keys, &args).await?;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn servers(&self) -> Result<Vec<String>, StoreError> {
        self.run_ids().await
    }

    async fn is_bucket_clean(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        self.agree_on_shard_count().await?;
        let id = bucket.as_str().as_bytes();
        let ask = |keys| self.proves_absent(keys, BUCKETS, id, bucket);
        let asks: Vec<_> = self.shared.shards.iter().map(|keys| ask(keys)).collect();
        let absent: Vec<bool> = stream::iter(asks).buffered(SHARDS_AT_ONCE).try_collect().await?;
        Ok(!absent.contains(&false))
    }

    async fn count_dirty(&self, bucket: &BucketId) -> Result<u64, StoreError> {
        self.agree_on_shard_count().await?;
        let ask = async |keys: &[String]| {
            let noted = ::redis::cmd("HGET").arg(keys.get(BUCKETS)).arg(bucket.as_str()).take();
            let noted: Option<String> = self.shared.connection.send(&noted).await?;
            Ok::<u64, StoreError>(noted.as_deref().map_or(0, parse_count))
        };
        let asks: Vec<_> = self.shared.shards.iter().map(|keys| ask(keys)).collect();
        let counts: Vec<u64> = stream::iter(asks).buffer_unordered(SHARDS_AT_ONCE).try_collect().await?;
        Ok(counts.iter().sum())
    }

    /// Shard after shard, each by HSCAN, which shows every field that is there all the while.
    async fn dirty_keys(&self, bucket: &BucketId, from: Option<&str>) -> Result<DirtyPage, StoreError> {
        self.agree_on_shard_count().await?;
        let (shard, at) = parse_place(from)?;
        let Some(keys) = self.shared.shards.get(shard) else { return Ok(DirtyPage::default()) };
        let mut scan = ::redis::cmd("HSCAN");
        scan.arg(keys.first())
            .arg(at)
            .arg("MATCH")
            .arg(format!("{}/*", bucket.as_str()))
            .arg("COUNT")
            .arg(SCANNED_AT_ONCE);
        let (at, fields): (String, Vec<Vec<u8>>) = self.shared.connection.send(&scan).await?;
        let mut page = DirtyPage { next: self.place_after(shard, &at), ..DirtyPage::default() };
        for field in fields.chunks_exact(2) {
            let [member, record] = field else { continue };
            let Some(found) = parse_member(member).filter(|found| found.bucket == *bucket) else { continue };
            let since = parse_since(record).ok_or(StoreError::Corrupt("the record of a dirty key"))?;
            page.oldest = page.oldest.into_iter().chain([since]).min();
            page.keys.push(found.key);
        }
        Ok(page)
    }

    /// Cancel: safe to drop; jobs claimed by a call whose answer was never seen are taken over after the lease.
    async fn claim_in(
        &self,
        lane: Lane,
        consumer: &str,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        let count = self.shared.shards.len();
        let tour = self.shared.tours.of(consumer);
        let mut jobs = self.claim_known(&tour, lane, consumer, limit, lease).await?;
        let foreign = match tour.next_look(Instant::now(), jobs.len() < limit, count) {
            Some((own, foreign)) => {
                self.look_at(&tour, own, lease).await?;
                foreign
            }
            None => return Ok(jobs),
        };
        // Jobs that were claimed already are not lost for a failure now: the lease brings them back.
        jobs.extend(self.claim_known(&tour, lane, consumer, limit - jobs.len(), lease).await?);
        if jobs.is_empty() && limit > 0 && !foreign.is_empty() {
            self.look_at(&tour, foreign, lease).await?;
            jobs = self.claim_known(&tour, lane, consumer, limit, lease).await?;
        }
        Ok(jobs)
    }

    async fn attend(&self, consumer: &str, hold: Duration) -> Result<usize, StoreError> {
        self.share_shards(consumer, hold).await
    }

    async fn leave(&self, consumer: &str) -> Result<(), StoreError> {
        self.give_shards_back(consumer).await
    }

    async fn extend(&self, job: &Job, consumer: &str, _lease: Duration) -> Result<bool, StoreError> {
        self.run_on_key(&SCRIPTS.extend, &job.key, &[job.handle.as_bytes(), consumer.as_bytes()]).await
    }

    async fn clear(&self, job: &Job) -> Result<Cleared, StoreError> {
        let args = [&job.sequence.to_string().into_bytes(), job.handle.as_bytes()];
        let clean: bool = self.run_on_key(&SCRIPTS.clear, &job.key, &args).await?;
        Ok(if clean { Cleared::Clean } else { Cleared::Requeued })
    }

    async fn retry(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.delay(job, delay, b"1").await
    }

    async fn put_off(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.delay(job, delay, b"0").await
    }

    async fn set_aside(&self, job: &Job) -> Result<(), StoreError> {
        self.run_on_key::<bool>(&SCRIPTS.set_aside, &job.key, &[job.handle.as_bytes()]).await.map(drop)
    }

    async fn bury(&self, job: &Job, reason: &str) -> Result<(), StoreError> {
        let args = [&job.sequence.to_string().into_bytes(), job.handle.as_bytes(), reason.as_bytes()];
        self.run_on_key::<bool>(&SCRIPTS.bury, &job.key, &args).await.map(drop)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.agree_on_shard_count().await?;
        self.shared.connection.send::<Value>(&::redis::cmd("PING")).await.map(drop)
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        let shards: Vec<(u64, u64, u64, u64, i64)> = self.run_everywhere(&SCRIPTS.depth, &[]).await?;
        Ok(shards.into_iter().fold(Depth::default(), |sum, (dirty, claimed, delayed, dead, oldest)| Depth {
            dirty: sum.dirty + dirty,
            claimed: sum.claimed + claimed,
            delayed: sum.delayed + delayed,
            dead: sum.dead + dead,
            oldest: sum.oldest.into_iter().chain((oldest >= 0).then_some(oldest)).min(),
        }))
    }

    async fn dead_letters(&self, after: Option<&LetterCursor>, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.oldest_letters(after, limit).await
    }

    async fn dead_page(&self, from: Option<&str>) -> Result<DeadPage, StoreError> {
        self.page_of_letters(from).await
    }

    async fn redrive(&self, only: Option<&DirtyKey>) -> Result<u64, StoreError> {
        match only {
            Some(key) => self.run_on_key(&SCRIPTS.redrive, key, &[b"1"]).await,
            None => self.redrive_all().await,
        }
    }
}

/// Shard and cursor from which a listing goes on.
fn parse_place(from: Option<&str>) -> Result<(usize, &str), StoreError> {
    let place = from.unwrap_or("0 0").split_once(' ').and_then(|(shard, at)| Some((shard.parse().ok()?, at)));
    place.ok_or_else(|| StoreError::Invalid("no such place of a listing to go on".into()))
}

fn millis(duration: Duration) -> String {
    // A lease of years is as good as any longer one, and stays exact in Lua's numbers.
    duration.as_millis().min(1 << 40).to_string()
}

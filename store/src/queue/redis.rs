//! The queue of dirty keys on Redis Streams.
//! Invariant: a dirty key has exactly one job, in its shard's stream, waiting for a lease, delayed, or dead.
//! Invariant: whatever changes a key's record is one script over keys of one hash tag, so Redis Cluster can hold any shard anywhere.
use super::connection::Connection;
use super::scripts::{SCRIPTS, Script};
use super::{ALONE, Cleared, DeadLetter, Depth, DirtyKey, DirtyPage, Disturbance, Holder, Job, Mark, Queue};
use crate::{BucketId, StoreError};
use ::redis::{FromRedisValue, Value};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_s3::ObjectKey;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Shards asked at once: one connection carries them, so it bounds what an answer's burst can hold, not sockets.
const SHARDS_AT_ONCE: usize = 16;
/// More would make each poll of an idle queue cost more than the work it finds.
const MOST_SHARDS: u32 = 4096;
/// Dead letters queued again by one script, which blocks the server while it runs.
const REDRIVEN_AT_ONCE: usize = 200;
/// Dirty keys looked at by one scan, which blocks the server while it runs.
const SCANNED_AT_ONCE: u32 = 1000;
/// How often consumers are swept, and how long one must have been gone.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
const CONSUMER_GONE: Duration = Duration::from_secs(24 * 3600);

/// The queue on one Redis server or a Redis Cluster. Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct RedisQueue {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    shards: Vec<Vec<String>>,
    shard_count_key: String,
    shard_count_agreed: OnceCell<()>,
    next_shard: AtomicUsize,
    started: Instant,
    swept_at: AtomicU64,
}

impl RedisQueue {
    /// Prepares the queue on the server (one address) or cluster (several). The connection is made at the first use and
    /// made again whenever it breaks, so a Redis that is away now is no error here.
    ///
    /// `ca`: in PEM, whom servers at `rediss://…` are believed by instead of the system's CAs.
    /// `prefix` begins every Redis key. `shards` is fixed for the life of the queue: another number is refused at first use.
    ///
    /// # Errors
    /// `Invalid` for an address, a CA, a prefix or a shard count that cannot be.
    #[allow(clippy::unused_async)] // the connection's tasks need the runtime that awaits this
    pub async fn connect(urls: &[String], ca: Option<&[u8]>, prefix: &str, shards: u32) -> Result<Self, StoreError> {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
            return Err(StoreError::Invalid("redis: the prefix is letters, digits and - _ . : only".into()));
        }
        if shards == 0 || shards > MOST_SHARDS {
            return Err(StoreError::Invalid(format!("redis: shards is 1 to {MOST_SHARDS}")));
        }
        let shared = Shared {
            connection: Connection::new(urls, ca)?,
            shards: (0..shards).map(|shard| shard_keys(prefix, shard)).collect(),
            shard_count_key: format!("{prefix}:shards"),
            shard_count_agreed: OnceCell::new(),
            next_shard: AtomicUsize::new(0),
            started: Instant::now(),
            swept_at: AtomicU64::new(0),
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

    /// A key looked for in another shard than it was marked in would seem clean.
    async fn agree_on_shard_count(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let ask = || async {
            let ours = shared.shards.len();
            shared.connection.send::<Value>(::redis::cmd("SETNX").arg(&shared.shard_count_key).arg(ours)).await?;
            let stands: usize = shared.connection.send(::redis::cmd("GET").arg(&shared.shard_count_key)).await?;
            if stands == ours {
                Ok(())
            } else {
                Err(StoreError::Invalid(format!(
                    "redis: this queue has {stands} shards, not {ours}; the number is fixed"
                )))
            }
        };
        shared.shard_count_agreed.get_or_try_init(ask).await.copied()
    }

    fn shard_of(&self, member: &[u8]) -> &[String] {
        let digest: [u8; 32] = Sha256::digest(member).into();
        let [a, b, c, d, ..] = digest;
        let count = u32::try_from(self.shared.shards.len()).unwrap_or(1).max(1);
        let shard = u32::from_be_bytes([a, b, c, d]) % count;
        self.shared.shards.get(shard as usize).map_or(&[], Vec::as_slice)
    }

    async fn holds_bucket(&self, keys: &[String], bucket: &BucketId) -> Result<bool, StoreError> {
        self.shared.connection.send(::redis::cmd("HEXISTS").arg(keys.last()).arg(bucket.as_str())).await
    }

    async fn take_lease(
        &self,
        key: &DirtyKey,
        name: String,
        request_id: &str,
        lease: Duration,
    ) -> Result<Mark, StoreError> {
        let args = [name.as_bytes(), &millis(lease).into_bytes(), request_id.as_bytes()];
        match self.run_on_key(&SCRIPTS.intent, key, &args).await? {
            0 => Err(StoreError::Busy),
            sequence => Ok(Mark { holder: Holder::Redis, sequence, lease: name }),
        }
    }

    async fn claim_from(
        &self,
        keys: &[String],
        consumer: &str,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        let (limit, stale) = (limit.to_string(), millis(lease));
        let args = [consumer.as_bytes(), limit.as_bytes(), stale.as_bytes()];
        let rows: Vec<Value> = self.run(&SCRIPTS.claim, keys, &args).await?;
        let found = rows.len();
        let jobs: Vec<Job> = rows.into_iter().filter_map(parse_job).collect();
        if jobs.len() < found {
            tracing::error!(unreadable = found - jobs.len(), "jobs that no gateway of this version has written");
        }
        Ok(jobs)
    }

    async fn sweep_consumers(&self) {
        let now = self.shared.started.elapsed().as_secs();
        let last = self.shared.swept_at.load(Ordering::Relaxed);
        if now.saturating_sub(last) < SWEEP_EVERY.as_secs() {
            return;
        }
        self.shared.swept_at.store(now, Ordering::Relaxed);
        let gone = millis(CONSUMER_GONE);
        if let Err(error) = self.run_everywhere::<u64>(&SCRIPTS.sweep, &[gone.as_bytes()]).await {
            tracing::debug!(%error, "consumers not swept");
        }
    }
}

#[async_trait]
impl Queue for RedisQueue {
    async fn intent(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        self.take_lease(key, format!("{:016x}", rand::random::<u64>()), request_id, lease).await
    }

    async fn intent_alone(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        self.take_lease(key, format!("{ALONE}{:016x}", rand::random::<u64>()), request_id, lease).await
    }

    async fn renew(&self, key: &DirtyKey, mark: &Mark, lease: Duration) -> Result<(), StoreError> {
        self.take_lease(key, mark.lease.clone(), "", lease).await.map(drop)
    }

    async fn disturbance(&self, key: &DirtyKey, mark: &Mark) -> Result<Disturbance, StoreError> {
        let sequence = mark.sequence.to_string();
        match self.run_on_key(&SCRIPTS.disturbance, key, &[sequence.as_bytes(), mark.lease.as_bytes()]).await? {
            0 => Ok(Disturbance::Nothing),
            1 => Ok(Disturbance::Worker),
            _ => Ok(Disturbance::Writers),
        }
    }

    async fn commit(&self, key: &DirtyKey, mark: &Mark, request_id: &str) -> Result<(), StoreError> {
        let args = [mark.lease.as_bytes(), request_id.as_bytes()];
        self.run_on_key::<i64>(&SCRIPTS.commit, key, &args).await.map(drop)
    }

    async fn release(&self, key: &DirtyKey, mark: &Mark) -> Result<(), StoreError> {
        self.run_on_key::<i64>(&SCRIPTS.release, key, &[mark.lease.as_bytes()]).await.map(drop)
    }

    async fn mark(&self, key: &DirtyKey, request_id: &str) -> Result<(), StoreError> {
        self.run_on_key::<i64>(&SCRIPTS.commit, key, &[b"", request_id.as_bytes()]).await.map(drop)
    }

    async fn is_clean(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        self.agree_on_shard_count().await?;
        let member = render_member(key)?;
        let dirty = self.shard_of(&member).first();
        let found: bool = self.shared.connection.send(::redis::cmd("HEXISTS").arg(dirty).arg(&member)).await?;
        Ok(!found)
    }

    async fn is_bucket_clean(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        self.agree_on_shard_count().await?;
        let asks: Vec<_> = self.shared.shards.iter().map(|keys| self.holds_bucket(keys, bucket)).collect();
        let found: Vec<bool> = stream::iter(asks).buffered(SHARDS_AT_ONCE).try_collect().await?;
        Ok(!found.contains(&true))
    }

    /// Shard after shard, each by HSCAN, which shows every field that is there all the while.
    async fn dirty_keys(&self, bucket: &BucketId, from: Option<&str>) -> Result<DirtyPage, StoreError> {
        self.agree_on_shard_count().await?;
        let place =
            from.unwrap_or("0 0").split_once(' ').and_then(|(shard, at)| Some((shard.parse::<usize>().ok()?, at)));
        let (shard, at) = place.ok_or_else(|| StoreError::Invalid("dirty keys: no such place to go on".into()))?;
        let Some(keys) = self.shared.shards.get(shard) else { return Ok(DirtyPage::default()) };
        let mut scan = ::redis::cmd("HSCAN");
        scan.arg(keys.first())
            .arg(at)
            .arg("MATCH")
            .arg(format!("{}/*", bucket.as_str()))
            .arg("COUNT")
            .arg(SCANNED_AT_ONCE);
        let (at, fields): (String, Vec<Vec<u8>>) = self.shared.connection.send(&scan).await?;
        let members = fields.iter().step_by(2).filter_map(|member| parse_member(member));
        let keys = members.filter(|found| found.bucket == *bucket).map(|found| found.key).collect();
        let (shard, at) = if at == "0" { (shard + 1, "0".to_owned()) } else { (shard, at) };
        Ok(DirtyPage { keys, next: (shard < self.shared.shards.len()).then(|| format!("{shard} {at}")) })
    }

    /// Cancel: safe to drop; jobs claimed by a call whose answer was never seen are taken over after the lease.
    async fn claim(&self, consumer: &str, limit: usize, lease: Duration) -> Result<Vec<Job>, StoreError> {
        self.sweep_consumers().await;
        let shards = &self.shared.shards;
        let mut jobs: Vec<Job> = Vec::new();
        // Shards that gave all they were asked for may have more: they are asked again while the limit allows.
        let first = self.shared.next_shard.fetch_add(1, Ordering::Relaxed) % shards.len();
        let mut ahead: Vec<&Vec<String>> = shards.iter().cycle().skip(first).take(shards.len()).collect();
        while jobs.len() < limit && !ahead.is_empty() {
            let mut again = Vec::new();
            let mut rest = ahead.as_slice();
            while jobs.len() < limit && !rest.is_empty() {
                let room = limit - jobs.len();
                let (wave, later) = rest.split_at(room.min(SHARDS_AT_ONCE).min(rest.len()));
                rest = later;
                let share = room / wave.len();
                let answers: Vec<_> = wave.iter().map(|keys| self.claim_from(keys, consumer, share, lease)).collect();
                // What some shards gave is kept even where another fails: it is claimed and must be worked on.
                let mut failed = None;
                for (keys, answer) in wave.iter().zip(futures::future::join_all(answers).await) {
                    match answer {
                        Ok(claimed) => {
                            if claimed.len() == share {
                                again.push(*keys);
                            }
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
            ahead = again;
        }
        Ok(jobs)
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
        let args = [job.handle.as_bytes(), &millis(delay).into_bytes(), b"1"];
        self.run_on_key::<bool>(&SCRIPTS.retry, &job.key, &args).await.map(drop)
    }

    async fn put_off(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        let args = [job.handle.as_bytes(), &millis(delay).into_bytes(), b"0"];
        self.run_on_key::<bool>(&SCRIPTS.retry, &job.key, &args).await.map(drop)
    }

    async fn bury(&self, job: &Job, reason: &str) -> Result<(), StoreError> {
        let args = [&job.sequence.to_string().into_bytes(), job.handle.as_bytes(), reason.as_bytes()];
        self.run_on_key::<bool>(&SCRIPTS.bury, &job.key, &args).await.map(drop)
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

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let limit_text = limit.to_string();
        let shards: Vec<Vec<Value>> = self.run_everywhere(&SCRIPTS.dead, &[limit_text.as_bytes()]).await?;
        let mut letters: Vec<DeadLetter> = shards.into_iter().flatten().filter_map(parse_dead_letter).collect();
        letters.sort_by_key(|letter| letter.since);
        letters.truncate(limit);
        Ok(letters)
    }

    async fn redrive(&self, only: Option<&DirtyKey>) -> Result<u64, StoreError> {
        if let Some(key) = only {
            return self.run_on_key(&SCRIPTS.redrive, key, &[b"1"]).await;
        }
        let at_once = REDRIVEN_AT_ONCE.to_string();
        let mut sum = 0;
        for keys in &self.shared.shards {
            let mut left = self.run::<(u64, u64, u64, u64, i64)>(&SCRIPTS.depth, keys, &[]).await?.3;
            while left > 0 {
                let count: u64 = self.run(&SCRIPTS.redrive, keys, &[b"", at_once.as_bytes()]).await?;
                sum += count;
                left = if count == 0 { 0 } else { left.saturating_sub(count) };
            }
        }
        Ok(sum)
    }
}

/// Every key of a shard, in the order that `record.lua` names them.
fn shard_keys(prefix: &str, shard: u32) -> Vec<String> {
    ["dirty", "since", "inflight", "jobs", "waiting", "delayed", "dead", "reasons", "sequence", "buckets"]
        .into_iter()
        .map(|name| format!("{{{prefix}:{shard}}}:{name}"))
        .collect()
}

/// A bucket id never holds a slash, an object key may.
fn render_member(key: &DirtyKey) -> Result<Vec<u8>, StoreError> {
    let bucket = key.bucket.as_str();
    if bucket.is_empty() || bucket.contains('/') {
        return Err(StoreError::Invalid("a bucket id is not empty and holds no slash".into()));
    }
    Ok([bucket.as_bytes(), b"/", key.key.as_str().as_bytes()].concat())
}

fn parse_member(member: &[u8]) -> Option<DirtyKey> {
    let (bucket, key) = std::str::from_utf8(member).ok()?.split_once('/')?;
    Some(DirtyKey { bucket: BucketId::new(bucket), key: ObjectKey::parse(key).ok()? })
}

fn parse_job(row: Value) -> Option<Job> {
    let (member, sequence, attempts, dirty_since, request_id, handle): (Vec<u8>, i64, u32, i64, Vec<u8>, String) =
        ::redis::from_redis_value(row).ok()?;
    Some(Job {
        key: parse_member(&member)?,
        sequence,
        attempts,
        request_id: String::from_utf8_lossy(&request_id).into_owned(),
        dirty_since,
        holder: Holder::Redis,
        handle,
    })
}

fn parse_dead_letter(row: Value) -> Option<DeadLetter> {
    let (member, reason, attempts, since): (Vec<u8>, Vec<u8>, u32, i64) = ::redis::from_redis_value(row).ok()?;
    Some(DeadLetter {
        key: parse_member(&member)?,
        reason: String::from_utf8_lossy(&reason).into_owned(),
        attempts,
        since,
    })
}

fn millis(duration: Duration) -> String {
    // A lease of years is as good as any longer one, and stays exact in Lua's numbers.
    duration.as_millis().min(1 << 40).to_string()
}

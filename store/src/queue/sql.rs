//! The queue of dirty keys in the metadata database: for `dev`, and where Redis is away.
//! One row a dirty key. Every change of a key begins by locking its row, so that mark, leases and claim are seen as
//! they stay until the commit. Times are the database's, which all processes share.
use super::{
    ALONE, Cleared, Company, DeadLetter, DeadPage, Depth, DirtyKey, DirtyPage, Disturbance, Holder, Job, LATE, Lane,
    LetterCursor, Mark, Queue, parse_late,
};
use crate::conductor::conducted;
use crate::metadata::db::{Columns, Db, Kind, millis, write};
use crate::{BucketId, StoreError, sql};
use async_trait::async_trait;
use s3gateway_config::BackendId;
use s3gateway_s3::ObjectKey;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::time::Duration;
use uuid::Uuid;

/// Dirty keys listed by one call.
const PAGE: i64 = 1000;
/// Dead letters, likewise.
const LETTERS: usize = 1000;
/// Keys marked in one transaction: no other writer of the same keys waits long.
const MARKED_AT_ONCE: usize = 500;
/// Turns among which tenants are spread, as the claims count them.
const FLOWS: u16 = 16;

/// The queue in table `dirty_keys`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqlQueue {
    db: Db,
}

impl SqlQueue {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    async fn take_lease(
        &self,
        key: &DirtyKey,
        name: String,
        request_id: &str,
        lease: Duration,
    ) -> Result<Mark, StoreError> {
        let sequence = write!(&self.db, tx => {
            take_lease(tx, self.db.kind(), key, &name, request_id, lease).await
        })?;
        Ok(Mark { holder: Holder::Sql, sequence, lease: name })
    }

    async fn delay(&self, job: &Job, delay: Duration, attempts: i64) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            let due = now.saturating_add(millis(delay));
            let query = of_key(sql::QUEUE_RETRY, &job.key).bind(job.handle.as_str()).bind(due);
            query.bind(attempts).bind(job.sequence).bind(now).execute(tx).await?;
            Ok(())
        })
    }

    /// Ends all leases and claims, so that what they held is worked on at once. Only for a process that has this queue to
    /// itself, before it serves, and only where no write of the process before it can still reach a backend: what lands
    /// after its lease may be forgotten.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn take_over(&self) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            sqlx::query(sql::QUEUE_ORPHAN_LEASES).bind(now).execute(&mut *tx).await?;
            sqlx::query(sql::QUEUE_ORPHAN_KEYS).bind(now).execute(tx).await?;
            Ok(())
        })
    }
}

#[async_trait]
impl Queue for SqlQueue {
    async fn intent(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        self.take_lease(key, Uuid::now_v7().to_string(), request_id, lease).await
    }

    async fn intent_alone(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        self.take_lease(key, format!("{ALONE}{}", Uuid::now_v7()), request_id, lease).await
    }

    /// Marks the key again, too, if its mark may have been cleared since.
    async fn renew(&self, key: &DirtyKey, mark: &Mark, lease: Duration) -> Result<i64, StoreError> {
        write!(&self.db, tx => {
            lock(tx, key).await?;
            let now = now(tx, self.db.kind()).await?;
            let query = of_key(sql::QUEUE_UNDISTURBED, key).bind(mark.sequence).bind(mark.lease.as_str()).bind(now);
            if query.fetch_optional(&mut *tx).await?.is_some() {
                hold_lease(tx, key, &mark.lease, now, now.saturating_add(millis(lease))).await?;
                return Ok(mark.sequence);
            }
            if mark.is_alone() {
                let own = of_key(sql::QUEUE_LEASE_OWN, key).bind(mark.lease.as_str());
                if own.fetch_optional(&mut *tx).await?.is_none() {
                    return Err(StoreError::Busy);
                }
            }
            take_lease(tx, self.db.kind(), key, &mark.lease, "", lease).await
        })
    }

    async fn disturbance(&self, key: &DirtyKey, mark: &Mark) -> Result<Disturbance, StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            let claim = lock(tx, key).await?.unwrap_or_default();
            let query = of_key(sql::QUEUE_LEASE_OTHER, key).bind(mark.lease.as_str());
            let mut company = Company::Nobody;
            let mut late = Vec::new();
            for row in query.fetch_all(&mut *tx).await? {
                match row.text("lease")?.strip_prefix(LATE) {
                    Some(backend) => late.push(parse_late(backend)?),
                    None => company = Company::Writers,
                }
            }
            if company == Company::Nobody {
                let query = of_key(sql::QUEUE_UNDISTURBED, key).bind(mark.sequence).bind(mark.lease.as_str()).bind(now);
                if query.fetch_optional(tx).await?.is_none() {
                    company = if claim.is_empty() { Company::Unclaimed } else { Company::Worker };
                }
            }
            Ok(Disturbance { company, late })
        })
    }

    async fn commit(&self, key: &DirtyKey, mark: &Mark, request_id: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            raise_mark(tx, self.db.kind(), key, request_id, now, now).await?;
            drop_lease(tx, key, mark).await
        })
    }

    async fn release(&self, key: &DirtyKey, mark: &Mark) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            lock(tx, key).await?;
            drop_lease(tx, key, mark).await?;
            of_key(sql::QUEUE_WAIT, key).bind(now).execute(tx).await?;
            Ok(())
        })
    }

    async fn note_late(&self, key: &DirtyKey, at: &[BackendId], within: Duration) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            let until = now.saturating_add(millis(within));
            if lock(tx, key).await?.is_none() {
                raise_mark(tx, self.db.kind(), key, "", now, until).await?;
            }
            for backend in at {
                let lease = format!("{LATE}{backend}");
                of_key(sql::QUEUE_LEASE_PUT, key).bind(lease).bind(until).execute(&mut *tx).await?;
            }
            Ok(())
        })
    }

    /// Everybody locks rows in the same order, so that two at once wait and never deadlock.
    async fn mark_all(&self, keys: &[DirtyKey], request_id: &str) -> Result<(), StoreError> {
        let mut keys: Vec<&DirtyKey> = keys.iter().collect();
        keys.sort_unstable_by_key(|key| (key.bucket.as_str(), key.key.as_str()));
        for some in keys.chunks(MARKED_AT_ONCE) {
            write!(&self.db, tx => {
                let now = now(tx, self.db.kind()).await?;
                for key in some {
                    raise_mark(tx, self.db.kind(), key, request_id, now, now).await?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    async fn is_marked(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::QUEUE_IS_DIRTY).bind(key.bucket.as_str()).bind(key.key.as_str().as_bytes());
        Ok(self.db.read(query.fetch_optional(self.db.pool())).await?.is_some())
    }

    async fn is_bucket_clean(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::QUEUE_BUCKET_IS_DIRTY).bind(bucket.as_str());
        Ok(self.db.read(query.fetch_optional(self.db.pool())).await?.is_none())
    }

    async fn count_dirty(&self, bucket: &BucketId) -> Result<u64, StoreError> {
        let query = sqlx::query(sql::QUEUE_COUNT_DIRTY).bind(bucket.as_str());
        self.db.read(query.fetch_one(self.db.pool())).await?.u64("dirty")
    }

    async fn dirty_keys(&self, bucket: &BucketId, from: Option<&str>) -> Result<DirtyPage, StoreError> {
        let after = from.map_or(&[][..], str::as_bytes);
        let query = sqlx::query(sql::QUEUE_DIRTY_KEYS).bind(bucket.as_str()).bind(after).bind(PAGE);
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        let keys: Vec<ObjectKey> = rows.iter().map(Columns::key).collect::<Result<_, _>>()?;
        let since: Vec<i64> = rows.iter().map(|row| row.int("dirty_since")).collect::<Result<_, _>>()?;
        let is_full = i64::try_from(keys.len()).is_ok_and(|count| count >= PAGE);
        let next = keys.last().filter(|_| is_full).map(|key| key.as_str().to_owned());
        Ok(DirtyPage { keys, oldest: since.into_iter().min(), next })
    }

    async fn claim_in(
        &self,
        lane: Lane,
        consumer: &str,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        // Most polls find nothing: a read keeps nobody waiting, as the transaction would.
        let look = sqlx::query(sql::QUEUE_LANE_HAS_ANY).bind(number_of(lane));
        if self.db.read(look.fetch_optional(self.db.pool())).await?.is_none() {
            return Ok(Vec::new());
        }
        let claim = Uuid::now_v7().to_string();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let text = match self.db.kind() {
            Kind::Postgres => sql::QUEUE_CLAIM_POSTGRES,
            Kind::Sqlite => sql::QUEUE_CLAIM_SQLITE,
        };
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            let query = sqlx::query(text).bind(now).bind(millis(lease)).bind(limit).bind(consumer);
            let rows = query.bind(claim.as_str()).bind(number_of(lane)).fetch_all(&mut *tx).await?;
            let jobs: Vec<Job> = rows.iter().map(|row| parse_job(row, lane, &claim)).collect::<Result<_, _>>()?;
            for job in &jobs {
                of_key(sql::QUEUE_LEASE_EXPIRE, &job.key).bind(now).execute(&mut *tx).await?;
            }
            Ok(jobs)
        })
    }

    async fn extend(&self, job: &Job, _consumer: &str, _lease: Duration) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            let query = of_key(sql::QUEUE_EXTEND, &job.key).bind(job.handle.as_str()).bind(now);
            Ok(query.execute(tx).await?.rows_affected() > 0)
        })
    }

    /// Where another worker has taken the claim over, the mark is that worker's to clear: it may be in the middle of a
    /// copy that a later write must not race with.
    async fn clear(&self, job: &Job) -> Result<Cleared, StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            match lock(tx, &job.key).await? {
                None => return Ok(Cleared::Clean),
                Some(claim) if claim != job.handle => return Ok(Cleared::Requeued),
                Some(_) => {}
            }
            let query = of_key(sql::QUEUE_CLEAR, &job.key).bind(job.handle.as_str()).bind(job.sequence);
            if query.execute(&mut *tx).await?.rows_affected() > 0 {
                return Ok(Cleared::Clean);
            }
            requeue(tx, job, now).await?;
            Ok(Cleared::Requeued)
        })
    }

    async fn retry(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.delay(job, delay, 1).await
    }

    async fn put_off(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.delay(job, delay, 0).await
    }

    async fn set_aside(&self, job: &Job) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            of_key(sql::QUEUE_SET_ASIDE, &job.key).bind(job.handle.as_str()).bind(now).execute(tx).await?;
            Ok(())
        })
    }

    /// A key that was written since it was claimed, or is being written, is queued again instead.
    async fn bury(&self, job: &Job, reason: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            lock(tx, &job.key).await?;
            let query = of_key(sql::QUEUE_BURY, &job.key).bind(job.handle.as_str()).bind(job.sequence);
            if query.bind(reason).bind(now).execute(&mut *tx).await?.rows_affected() == 0 {
                requeue(tx, job, now).await?;
            }
            Ok(())
        })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.db.ping().await
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        let row = self.db.read(sqlx::query(sql::QUEUE_DEPTH).fetch_one(self.db.pool())).await?;
        Ok(Depth {
            dirty: row.u64("dirty")?,
            claimed: row.u64("claimed")?,
            delayed: row.u64("delayed")?,
            dead: row.u64("dead")?,
            oldest: sqlx::Row::try_get(&row, "oldest").map_err(|_| StoreError::Corrupt("oldest"))?,
        })
    }

    async fn dead_letters(&self, after: Option<&LetterCursor>, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let (bucket, key) = after.map(LetterCursor::bucket_and_key).unwrap_or_default();
        let query = sqlx::query(sql::QUEUE_DEAD_LETTERS).bind(after.map_or(0, LetterCursor::since));
        let query = query.bind(bucket).bind(key.as_bytes()).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(parse_letter).collect()
    }

    async fn dead_page(&self, from: Option<&str>) -> Result<DeadPage, StoreError> {
        let no_place = || StoreError::Invalid("dead letters: no such place to go on".into());
        let after = from.map(|from| LetterCursor::parse(from).ok_or_else(no_place)).transpose()?;
        let letters = self.dead_letters(after.as_ref(), LETTERS).await?;
        let next = letters.last().filter(|_| letters.len() >= LETTERS).map(|last| last.cursor().to_string());
        Ok(DeadPage { letters, next })
    }

    async fn redrive(&self, only: Option<&DirtyKey>) -> Result<u64, StoreError> {
        write!(&self.db, tx => {
            let now = now(tx, self.db.kind()).await?;
            let query = match only {
                Some(key) => of_key(sql::QUEUE_REDRIVE_ONE, key),
                None => sqlx::query(sql::QUEUE_REDRIVE_ALL),
            };
            Ok(query.bind(now).execute(tx).await?.rows_affected())
        })
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// A statement whose first parameters are bucket and key.
fn of_key<'q>(text: &'static str, key: &'q DirtyKey) -> Query<'q> {
    sqlx::query(text).bind(key.bucket.as_str()).bind(key.key.as_str().as_bytes())
}

fn parse_letter(row: &AnyRow) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        key: parse_key(row)?,
        reason: row.text("reason")?,
        attempts: row.u32("attempts")?,
        since: row.int("due_at")?,
    })
}

/// The database's clock, which all processes share.
pub(crate) async fn now(tx: &mut AnyConnection, kind: Kind) -> Result<i64, StoreError> {
    if let Some(clocks) = conducted() {
        return Ok(clocks.database);
    }
    let text = match kind {
        Kind::Postgres => sql::QUEUE_NOW_POSTGRES,
        Kind::Sqlite => sql::QUEUE_NOW_SQLITE,
    };
    sqlx::query(text).fetch_one(tx).await?.int("now")
}

/// Makes the key dirty and notes one writer; the job of a key that was clean waits for the commit or the lease's end,
/// because until then a worker would find nothing to do.
async fn take_lease(
    tx: &mut AnyConnection,
    kind: Kind,
    key: &DirtyKey,
    name: &str,
    request_id: &str,
    lease: Duration,
) -> Result<i64, StoreError> {
    let now = now(tx, kind).await?;
    let until = now.saturating_add(millis(lease));
    let sequence = raise_mark(tx, kind, key, request_id, now, until).await?;
    let is_alone = i64::from(name.starts_with(ALONE));
    let rival = of_key(sql::QUEUE_LEASE_RIVAL, key).bind(name).bind(now).bind(is_alone);
    if rival.fetch_optional(&mut *tx).await?.is_some() {
        // What has been written so far goes with the transaction.
        return Err(StoreError::Busy);
    }
    hold_lease(tx, key, name, now, until).await?;
    Ok(sequence)
}

/// Notes a lease, and has the key wait for it.
async fn hold_lease(
    tx: &mut AnyConnection,
    key: &DirtyKey,
    name: &str,
    now: i64,
    until: i64,
) -> Result<(), StoreError> {
    of_key(sql::QUEUE_LEASE_PUT, key).bind(name).bind(until).execute(&mut *tx).await?;
    of_key(sql::QUEUE_WAIT, key).bind(now).execute(tx).await?;
    Ok(())
}

/// Makes the key dirty or raises its sequence; its row is locked from then on.
async fn raise_mark(
    tx: &mut AnyConnection,
    kind: Kind,
    key: &DirtyKey,
    request_id: &str,
    now: i64,
    due: i64,
) -> Result<i64, StoreError> {
    let text = match kind {
        Kind::Postgres => sql::QUEUE_MARK_POSTGRES,
        Kind::Sqlite => {
            sqlx::query(sql::QUEUE_SEQUENCE_SQLITE).execute(&mut *tx).await?;
            sql::QUEUE_MARK_SQLITE
        }
    };
    let flow = i64::from(key.bucket.tenant_number() % FLOWS);
    of_key(text, key).bind(request_id).bind(now).bind(due).bind(flow).fetch_one(tx).await?.int("sequence")
}

/// Locks a dirty key's row and tells whose claim it bears (empty: nobody's); `None` for a clean key.
async fn lock(tx: &mut AnyConnection, key: &DirtyKey) -> Result<Option<String>, StoreError> {
    match of_key(sql::QUEUE_LOCK, key).fetch_optional(tx).await? {
        Some(row) => Ok(Some(row.text("claim")?)),
        None => Ok(None),
    }
}

async fn drop_lease(tx: &mut AnyConnection, key: &DirtyKey, mark: &Mark) -> Result<(), StoreError> {
    of_key(sql::QUEUE_LEASE_DROP, key).bind(mark.lease.as_str()).execute(tx).await?;
    Ok(())
}

async fn requeue(tx: &mut AnyConnection, job: &Job, now: i64) -> Result<(), StoreError> {
    let query = of_key(sql::QUEUE_REQUEUE, &job.key).bind(job.handle.as_str()).bind(job.sequence).bind(now);
    query.execute(tx).await?;
    Ok(())
}

fn parse_key(row: &AnyRow) -> Result<DirtyKey, StoreError> {
    Ok(DirtyKey { bucket: BucketId::new(&row.text("bucket")?), key: row.key()? })
}

fn number_of(lane: Lane) -> i64 {
    match lane {
        Lane::Small => 0,
        Lane::Large => 1,
    }
}

fn parse_job(row: &AnyRow, lane: Lane, claim: &str) -> Result<Job, StoreError> {
    Ok(Job {
        key: parse_key(row)?,
        sequence: row.int("sequence")?,
        attempts: row.u32("attempts")?,
        request_id: row.text("request_id")?,
        dirty_since: row.int("dirty_since")?,
        holder: Holder::Sql,
        lane,
        handle: claim.to_owned(),
    })
}

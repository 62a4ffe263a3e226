//! Walks as workers take them: prepared by one, then walked in shards, step by step.
//! Invariant: a shard's claim is compared and set by every step, so that of two workers only one goes on; a step's findings
//! and progress are written together, so that what is done twice counts once.
use super::Metadata;
use super::db::{Columns, now, write};
use super::walks::parse_walk;
use crate::{
    Admission, BucketId, DeleteGuard, Millis, NewWalk, Step, StoreError, Walk, WalkFinding, WalkId, WalkKind,
    WalkShard, WalkState, sql,
};
use s3gateway_config::BackendId;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// Findings kept of a walk, one by one; all are counted.
pub const FINDINGS_KEPT: i64 = 1000;

impl Metadata {
    /// Walks that have not begun and may begin now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn walks_due(&self, now: Millis, limit: u32) -> Result<Vec<Walk>, StoreError> {
        let query = sqlx::query(sql::WALKS_DUE).bind(now).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse_walk).collect()
    }

    /// Claims a walk that has not begun, to prepare it, or prolongs the claim: moves its `due_at` from what was `seen` to `until`.
    /// False where another worker was faster, or it waits no longer.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_walk(&self, id: &WalkId, seen: Millis, until: Millis) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::WALK_CLAIM).bind(id.as_str()).bind(seen).bind(until);
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })
    }

    /// The key with `size` - 1 others between it and `after`, of those that metadata knows at the home: where the next part of a
    /// bucket ends that has `size` keys. `None` where fewer are left.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn walk_bound(
        &self,
        bucket: &BucketId,
        home: &BackendId,
        after: &str,
        size: u32,
    ) -> Result<Option<String>, StoreError> {
        let query = sqlx::query(sql::COPIES_NTH).bind(bucket.as_str()).bind(home.as_str());
        let query = query.bind(after.as_bytes()).bind(i64::from(size.max(1)) - 1);
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        row.map(|row| Ok(row.key()?.as_str().to_owned())).transpose()
    }

    /// How many keys after `after` metadata knows at the home, up to `most`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn count_to_bound(
        &self,
        bucket: &BucketId,
        home: &BackendId,
        after: &str,
        most: u32,
    ) -> Result<u64, StoreError> {
        let query = sqlx::query(sql::COPIES_COUNT).bind(bucket.as_str()).bind(home.as_str());
        let query = query.bind(after.as_bytes()).bind(i64::from(most));
        self.db.read(query.fetch_one(self.db.pool())).await?.u64("n")
    }

    /// Begins a walk that was claimed until `claim`, cut at `bounds`; a backfill that has no rate gets `backfill_rate`. False
    /// where the claim is another's by now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn cut_walk(
        &self,
        id: &WalkId,
        claim: Millis,
        epoch: i64,
        bounds: &[String],
        total: u64,
        backfill_rate: u32,
    ) -> Result<bool, StoreError> {
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::WALK_BEGIN).bind(id.as_str()).bind(claim).bind(now()).bind(total).bind(epoch);
            let query = query.bind(i64::from(backfill_rate));
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(false);
            }
            insert_shards(tx, id, bounds).await?;
            Ok(true)
        })
    }

    /// Begins a walk anew because its bucket has another home now. False where another worker has done so.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn restart_walk(
        &self,
        id: &WalkId,
        seen_epoch: i64,
        epoch: i64,
        bounds: &[String],
        total: u64,
    ) -> Result<bool, StoreError> {
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::WALK_RESTART).bind(id.as_str()).bind(seen_epoch).bind(epoch).bind(total);
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query(sql::WALK_SHARDS_DELETE).bind(id.as_str()).execute(&mut *tx).await?;
            insert_shards(tx, id, bounds).await?;
            Ok(true)
        })
    }

    /// Has walks that had begun, and whose wait is over, go on, at most `limit` of them; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn resume_walks(&self, now: Millis, limit: u32) -> Result<u64, StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::WALKS_RESUME).bind(now).bind(i64::from(limit));
            Ok(query.execute(tx).await?.rows_affected())
        })
    }

    /// Has a walk wait because something is away, such as a backend; nothing where it does not run any more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn suspend_walk(
        &self,
        id: &WalkId,
        why: &str,
        until: Millis,
        backend: Option<&str>,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::WALK_WAIT).bind(id.as_str()).bind(why).bind(until);
            query.bind(backend.unwrap_or_default()).execute(tx).await?;
            Ok(())
        })
    }

    /// Has all walks that wait for a backend, and could go on by now, wait until `until`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn postpone_walks(&self, backend: &BackendId, now: Millis, until: Millis) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            sqlx::query(sql::WALKS_POSTPONE).bind(backend.as_str()).bind(now).bind(until).execute(tx).await?;
            Ok(())
        })
    }

    /// Ends the walks of which nothing is left to walk; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn finish_walks(&self) -> Result<u64, StoreError> {
        write!(&self.db, tx => {
            Ok(sqlx::query(sql::WALKS_FINISH).bind(now()).execute(tx).await?.rows_affected())
        })
    }

    /// Parts of running walks that no worker has, but those of walks of one kind.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn free_shards(
        &self,
        now: Millis,
        limit: u32,
        but: Option<WalkKind>,
    ) -> Result<Vec<WalkShard>, StoreError> {
        let but = but.map_or("", WalkKind::as_str);
        let query = sqlx::query(sql::WALK_SHARDS_FREE).bind(now).bind(i64::from(limit)).bind(but);
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse_shard).collect()
    }

    /// Takes a shard that nobody has. False where another worker was faster.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_shard(&self, shard: &mut WalkShard, until: Millis) -> Result<bool, StoreError> {
        let (walk, position, seen) = (shard.walk.as_str(), shard.position, shard.claimed_until);
        let claim = rand::random_range(1..=i64::MAX);
        let ours = write!(&self.db, tx => {
            let query = sqlx::query(sql::WALK_SHARD_CLAIM).bind(walk).bind(position).bind(seen).bind(until).bind(claim);
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })?;
        if ours {
            (shard.claimed_until, shard.claim) = (until, claim);
        }
        Ok(ours)
    }

    /// Keeps a shard until `until`, or gives it back by 0. False where another worker has it, or it is at its end.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn keep_shard(&self, shard: &WalkShard, until: Millis) -> Result<bool, StoreError> {
        let (walk, position, claim) = (shard.walk.as_str(), shard.position, shard.claim);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::WALK_SHARD_KEEP).bind(walk).bind(position).bind(claim).bind(until);
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })
    }

    /// Asks whether a step over `keys` keys may be taken, of which `deletes` are to be marked as deleted, and when. All
    /// steps of a walk are admitted one after the other; a step that is asked for again counts once.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn admit_step(
        &self,
        shard: &WalkShard,
        keys: u64,
        deletes: u64,
        guard: DeleteGuard,
    ) -> Result<Admission, StoreError> {
        let (walk, position, claim) = (shard.walk.as_str(), shard.position, shard.claim);
        let reserved = i64::try_from(deletes).unwrap_or(i64::MAX);
        write!(&self.db, tx => {
            let row = sqlx::query(sql::WALK_LOCK).bind(walk).fetch_optional(&mut *tx).await?;
            let Some(row) = row.filter(|row| row.text("state").is_ok_and(|state| state == WalkState::Running.as_str()))
            else {
                return Ok(Admission::Stop);
            };
            let reserve = sqlx::query(sql::WALK_SHARD_RESERVE).bind(walk).bind(position).bind(claim).bind(reserved);
            if reserve.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(Admission::Stop);
            }
            let all = sqlx::query(sql::WALK_DELETES).bind(walk).fetch_one(&mut *tx).await?.u64("n")?;
            let (total, approved) = (row.u64("total")?, row.int("approved")? != 0);
            if deletes > 0 && !approved && all > guard.allowed(total) {
                let why = format!(
                    "{all} keys or more of {total}, or versions of them, are gone from the home; at most {} are taken for deleted without approval",
                    guard.allowed(total)
                );
                sqlx::query(sql::WALK_GUARD).bind(walk).bind(why).execute(&mut *tx).await?;
                return Ok(Admission::Stop);
            }
            let start = row.int("paced_until")?.max(now());
            let rate = row.int("rate")?;
            let took = if rate > 0 { i64::try_from(keys).unwrap_or(i64::MAX).saturating_mul(1000) / rate } else { 0 };
            sqlx::query(sql::WALK_PACE).bind(walk).bind(start.saturating_add(took)).execute(&mut *tx).await?;
            Ok(Admission::Go { at: start, rate: u32::try_from(rate).unwrap_or(u32::MAX) })
        })
    }

    /// Writes down that a step was taken, with what it found. False where another worker has the shard.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn take_step(&self, shard: &WalkShard, step: &Step) -> Result<bool, StoreError> {
        let (walk, position, claim) = (shard.walk.as_str(), shard.position, shard.claim);
        let (done, marked) = (i64::try_from(step.done), i64::try_from(step.marked));
        let (done, marked) = (done.unwrap_or(i64::MAX), marked.unwrap_or(i64::MAX));
        write!(&self.db, tx => {
            if !step.findings.is_empty() {
                // Findings are numbered, so one worker at a time adds some.
                sqlx::query(sql::WALK_LOCK).bind(walk).fetch_optional(&mut *tx).await?;
            }
            let query = sqlx::query(sql::WALK_SHARD_ADVANCE).bind(walk).bind(position).bind(claim);
            let query = query.bind(step.walked_to.as_bytes()).bind(done).bind(marked).bind(i64::from(step.is_last));
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(false);
            }
            add_findings(tx, walk, &step.findings).await?;
            Ok(true)
        })
    }

    /// Begins reconciles of buckets that nothing has walked since `before`, as long as fewer than `most` are under way,
    /// and no more than `most_stuck` wait for a backend. Those that have waited longest come first; how many were
    /// begun.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn begin_periodic(
        &self,
        before: Millis,
        most: u32,
        most_stuck: u32,
        rate: u32,
    ) -> Result<u32, StoreError> {
        let kind = WalkKind::Reconcile;
        let query = sqlx::query(sql::WALKS_UNDER_WAY).bind(kind.as_str());
        let walks = self.db.read(query.fetch_one(self.db.pool())).await?;
        let room = most.saturating_sub(walks.u32("n")?);
        if room == 0 || walks.u32("stuck")? > most_stuck {
            return Ok(0);
        }
        let query = sqlx::query(sql::BUCKETS_TO_RECONCILE).bind(before).bind(i64::from(room));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        for row in &rows {
            let bucket = BucketId::new(&row.text("id")?);
            self.begin_walk(NewWalk { bucket, kind, rate, reason: "it is time".to_owned() }).await?;
        }
        Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
    }

    /// When the bucket in service was last to be reconciled for which that is longest ago; when it was made, if it
    /// never was.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn oldest_reconcile(&self) -> Result<Option<Millis>, StoreError> {
        let query = sqlx::query(sql::BUCKET_RECONCILE_OLDEST);
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        row.map(|row| row.int("reconciled_at")).transpose()
    }
}

async fn insert_shards(tx: &mut AnyConnection, id: &WalkId, bounds: &[String]) -> Result<(), StoreError> {
    let starts = std::iter::once("").chain(bounds.iter().map(String::as_str));
    let ends = bounds.iter().map(String::as_str).chain(std::iter::once(""));
    for (position, (after, up_to)) in (0i64..).zip(starts.zip(ends)) {
        let query = sqlx::query(sql::WALK_SHARD_INSERT).bind(id.as_str()).bind(position);
        query.bind(after.as_bytes()).bind(up_to.as_bytes()).execute(&mut *tx).await?;
    }
    Ok(())
}

async fn add_findings(tx: &mut AnyConnection, walk: &str, findings: &[WalkFinding]) -> Result<(), StoreError> {
    if findings.is_empty() {
        return Ok(());
    }
    let mut counts = crate::WalkCounts::new();
    for finding in findings {
        *counts.entry(finding.kind).or_default() += 1;
    }
    for (kind, count) in counts {
        let query = sqlx::query(sql::WALK_COUNT_ADD).bind(walk).bind(kind.as_str());
        query.bind(i64::try_from(count).unwrap_or(i64::MAX)).execute(&mut *tx).await?;
    }
    let kept = sqlx::query(sql::WALK_FINDINGS_COUNT).bind(walk).fetch_one(&mut *tx).await?.int("n")?;
    for (position, finding) in (kept..FINDINGS_KEPT).zip(findings) {
        let query = sqlx::query(sql::WALK_FINDING_INSERT).bind(walk).bind(position).bind(finding.kind.as_str());
        let query = query.bind(finding.key.as_str().as_bytes()).bind(finding.backend.as_str());
        query.bind(finding.detail.as_str()).bind(finding.found_at).execute(&mut *tx).await?;
    }
    Ok(())
}

fn parse_shard(row: &AnyRow) -> Result<WalkShard, StoreError> {
    let text = |column| String::from_utf8(row.bytes(column)?).map_err(|_| StoreError::Corrupt(column));
    Ok(WalkShard {
        walk: WalkId::new(&row.text("walk")?),
        position: row.int("position")?,
        bucket: BucketId::new(&row.text("bucket")?),
        kind: row.parsed("kind", |word| WalkKind::parse(word).ok_or(()))?,
        epoch: row.int("epoch")?,
        approved: row.int("approved")? != 0,
        rate: row.u32("rate")?,
        up_to: text("up_to")?,
        walked_to: text("walked_to")?,
        marked: row.u64("marked")?,
        claimed_until: row.int("claimed_until")?,
        claim: 0,
    })
}

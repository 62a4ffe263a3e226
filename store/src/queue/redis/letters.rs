//! Dead letters in Redis: listed, and queued again.
use super::members::parse_dead_letter;
use super::{RedisQueue, SCANNED_AT_ONCE, parse_place};
use crate::StoreError;
use crate::queue::scripts::SCRIPTS;
use crate::queue::{DeadLetter, DeadPage, LetterCursor, letters};
use ::redis::Value;

/// Dead letters queued again by one script, which blocks the server while it runs.
const REDRIVEN_AT_ONCE: usize = 200;

impl RedisQueue {
    /// The oldest of all shards behind `after`. A shard gives all that it has of that time, which are few.
    pub(super) async fn oldest_letters(
        &self,
        after: Option<&LetterCursor>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (since, count) = (after.map_or(0, LetterCursor::since).to_string(), limit.to_string());
        let shards: Vec<Vec<Value>> = self.run_everywhere(&SCRIPTS.dead, &[since.as_bytes(), count.as_bytes()]).await?;
        let found = shards.into_iter().flatten().filter_map(parse_dead_letter).collect();
        Ok(letters::oldest(found, after, limit))
    }

    /// Shard after shard.
    pub(super) async fn page_of_letters(&self, from: Option<&str>) -> Result<DeadPage, StoreError> {
        let (shard, at) = parse_place(from)?;
        let Some(keys) = self.shared.shards.get(shard) else { return Ok(DeadPage::default()) };
        let count = SCANNED_AT_ONCE.to_string();
        let (at, found): (String, Vec<Value>) =
            self.run(&SCRIPTS.dead_page, keys, &[at.as_bytes(), count.as_bytes()]).await?;
        let letters = found.into_iter().filter_map(parse_dead_letter).collect();
        Ok(DeadPage { letters, next: self.place_after(shard, &at) })
    }

    /// All of them; how many.
    pub(super) async fn redrive_all(&self) -> Result<u64, StoreError> {
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

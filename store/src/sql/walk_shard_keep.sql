-- walk_shard_keep.sql: keeps a shard, or gives it back. No row changed: another worker has it, or it is at its end.
-- $1 walk, $2 position, $3 the claim, $4 until when
update walk_shards set claimed_until = $4 where walk = $1 and position = $2 and claim = $3 and finished = 0

-- walk_shard_claim.sql: takes a shard that nobody has. No row changed: another worker was faster.
-- $1 walk, $2 position, $3 the claimed_until that the caller saw, $4 the new one, $5 the new claim
update walk_shards set claimed_until = $4, claim = $5
where walk = $1 and position = $2 and claimed_until = $3 and finished = 0

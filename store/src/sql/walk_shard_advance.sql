-- walk_shard_advance.sql: a step has been taken. No row changed: another worker has the shard.
-- $1 walk, $2 position, $3 the claim, $4 walked up to, $5 keys seen, $6 keys marked, $7 whether it was the last step
update walk_shards set walked_to = $4, done = done + $5, marked = marked + $6, deletes = deletes + reserved, reserved = 0,
    finished = $7
where walk = $1 and position = $2 and claim = $3 and finished = 0

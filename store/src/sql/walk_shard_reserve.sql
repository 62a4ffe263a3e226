-- walk_shard_reserve.sql: the deletes of the step to be taken. $1 walk, $2 position, $3 the claim, $4 deletes
update walk_shards set reserved = $4 where walk = $1 and position = $2 and claim = $3 and finished = 0

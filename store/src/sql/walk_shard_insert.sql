-- walk_shard_insert.sql: $1 walk, $2 position, $3 after which key, $4 up to which key
insert into walk_shards (walk, position, after, up_to, walked_to, done, marked, deletes, reserved, claimed_until, claim, finished)
values ($1, $2, $3, $4, $3, 0, 0, 0, 0, 0, 0, 0)

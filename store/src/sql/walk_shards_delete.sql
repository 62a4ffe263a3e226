-- walk_shards_delete.sql: $1 walk
delete from walk_shards where walk = $1

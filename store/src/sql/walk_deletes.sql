-- walk_deletes.sql: marked as deletes, and about to be. $1 walk
select cast(coalesce(sum(deletes + reserved), 0) as bigint) as n from walk_shards where walk = $1

-- queue_dead_letters.sql: oldest first, $1 at most
select bucket, object_key, reason, attempts, due_at from dirty_keys where state = 'dead' order by due_at limit $1

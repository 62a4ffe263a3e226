-- queue_dead_letters.sql: oldest first. $1, $2, $3 since when, bucket and key of the one to start after, $4 at most
select bucket, object_key, reason, attempts, due_at from dirty_keys
where state = 'dead' and due_at >= $1 and (due_at, bucket, object_key) > ($1, $2, $3)
order by due_at, bucket, object_key limit $4

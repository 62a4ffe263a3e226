-- queue_undisturbed.sql: one row where a key waits for a lease, and is as that lease's write has marked it.
-- $1 bucket, $2 key, $3 sequence, $4 lease, $5 now
select 1 as undisturbed from dirty_keys k join dirty_leases l on l.bucket = k.bucket and l.object_key = k.object_key
where k.bucket = $1 and k.object_key = $2 and k.sequence = $3 and k.state = 'ready' and k.due_at > $5
    and l.lease = $4 and l.expires_at > $5

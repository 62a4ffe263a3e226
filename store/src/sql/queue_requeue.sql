-- queue_requeue.sql: back into the queue: at once after a write, which may be of a small object, else when the first lease ends.
-- $1 bucket, $2 key, $3 claim, $4 sequence when claimed, $5 now
update dirty_keys set state = 'ready', attempts = 0, claimed_by = '', claim = '',
    lane = case when sequence = $4 then lane else 0 end, due_at = case
    when sequence = $4 then coalesce(
        (select min(l.expires_at) from dirty_leases l where l.bucket = $1 and l.object_key = $2), $5)
    else $5 end
where bucket = $1 and object_key = $2 and state = 'claimed' and claim = $3

-- queue_wait.sql: a key that waits for writers' leases waits for the first that ends, and for none where none is left.
-- $1 bucket, $2 key, $3 now
update dirty_keys set due_at = coalesce(
    (select min(l.expires_at) from dirty_leases l where l.bucket = $1 and l.object_key = $2 and l.lease not like '~%'), $3)
where bucket = $1 and object_key = $2 and state = 'ready' and due_at > $3

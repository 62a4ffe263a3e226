-- queue_bury.sql: a dead letter, unless the key was written since it was claimed or a write is noted; what a worker has sent ("~") is none.
-- $1 bucket, $2 key, $3 claim, $4 sequence when claimed, $5 reason, $6 now
update dirty_keys set state = 'dead', attempts = attempts + 1, claimed_by = '', claim = '', reason = $5, due_at = $6
where bucket = $1 and object_key = $2 and state = 'claimed' and claim = $3 and sequence = $4 and not exists (
    select 1 from dirty_leases l where l.bucket = $1 and l.object_key = $2 and l.lease not like '~%')

-- queue_retry.sql: $1 bucket, $2 key, $3 claim, $4 due, $5 attempts to count: 1, or 0 where the job is not to blame
update dirty_keys set state = 'delayed', attempts = attempts + $5, claimed_by = '', claim = '', due_at = $4
where bucket = $1 and object_key = $2 and state = 'claimed' and claim = $3

-- queue_set_aside.sql: to the lane of large objects. $1 bucket, $2 key, $3 claim, $4 now
update dirty_keys set state = 'ready', lane = 1, claimed_by = '', claim = '', due_at = $4
where bucket = $1 and object_key = $2 and state = 'claimed' and claim = $3

-- queue_extend.sql: no row where the claim is lost. $1 bucket, $2 key, $3 claim, $4 now
update dirty_keys set due_at = $4 where bucket = $1 and object_key = $2 and state = 'claimed' and claim = $3

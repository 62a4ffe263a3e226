-- queue_redrive_one.sql: $1 bucket, $2 key, $3 now
update dirty_keys set state = 'ready', attempts = 0, reason = '', due_at = $3
where bucket = $1 and object_key = $2 and state = 'dead'

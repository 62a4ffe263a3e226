-- queue_lock.sql: locks a dirty key's row, so that the statements after it see leases and mark as they stay. $1 bucket, $2 key
update dirty_keys set claimed_by = claimed_by where bucket = $1 and object_key = $2 returning claim, state

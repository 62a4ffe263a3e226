-- queue_redrive_all.sql: $1 now
update dirty_keys set state = 'ready', attempts = 0, reason = '', due_at = $1 where state = 'dead'

-- drain_end.sql: the open one of a replica. $1 bucket, $2 backend, $3 state, $4 now
update drains set state = $3, ended_at = $4 where bucket = $1 and backend = $2 and ended_at = 0

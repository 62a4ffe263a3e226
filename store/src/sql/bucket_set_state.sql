-- bucket_set_state.sql: $1 bucket, $2 state, $3 now
update buckets set state = $2, state_since = $3 where id = $1

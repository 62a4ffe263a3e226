-- bucket_state.sql: $1 bucket
select id, tenant, name, state, home from buckets where id = $1

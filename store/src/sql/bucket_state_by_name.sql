-- bucket_state_by_name.sql: $1 tenant, $2 name
select id, state from buckets where tenant = $1 and name = $2 and state <> 'retired'

-- bucket_state.sql: $1 bucket
select id, tenant, name, state, home, replica_count, versioning, epoch from buckets where id = $1

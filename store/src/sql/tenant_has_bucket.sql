-- tenant_has_bucket.sql: a bucket of the tenant in whatever state, a deleted one still being emptied included. $1 tenant
select id from buckets where tenant = $1 limit 1

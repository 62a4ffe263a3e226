-- review_tenant.sql: all buckets of a tenant. $1 tenant, $2 now
update buckets set review_due = $2 where tenant = $1 and state in ('creating', 'active')

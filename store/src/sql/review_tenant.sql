-- review_tenant.sql: a page of a tenant's buckets. One that is being deleted may come back. $1 tenant, $2 the name before it, $3 the last name,
-- $4 now
update buckets set review_due = $4 where tenant = $1 and state <> 'retired' and name > $2 and name <= $3

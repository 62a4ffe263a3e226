-- review_page_of_tenant.sql: a page of a tenant's buckets, by name. $1 tenant, $2 the one before it, $3 at most
select name as bucket from buckets where tenant = $1 and state <> 'retired' and name > $2 order by name limit $3

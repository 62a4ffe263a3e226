-- access_keys.sql: without secrets; $1 tenant, or empty for all
select id, tenant, enabled, created_at from access_keys where $1 = '' or tenant = $1 order by created_at, id

-- tenant_set_policy.sql: $1 id, $2 policy
update tenants set policy = $2 where id = $1

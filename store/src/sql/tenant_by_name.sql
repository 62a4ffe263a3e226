-- tenant_by_name.sql: $1 name
select id, name, policy, default_placement, default_replica_count, created_at from tenants where name = $1

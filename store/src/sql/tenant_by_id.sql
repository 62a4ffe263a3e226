-- tenant_by_id.sql: $1 id
select id, name, policy, default_placement, default_replica_count, created_at from tenants where id = $1

-- tenant_by_name.sql: $1 name
select id, name, policy, default_placement, default_replica_count, signature_v2, created_at from tenants where name = $1

-- tenant_by_id.sql: $1 id
select id, name, policy, default_placement, default_replica_count, signature_v2, created_at from tenants where id = $1

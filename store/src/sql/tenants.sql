-- tenants.sql: all tenants by name.
select id, name, policy, default_placement, default_replica_count, signature_v2, created_at from tenants order by name

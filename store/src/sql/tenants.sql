-- tenants.sql: all tenants by name.
select id, name, policy, default_placement, default_replica_count, created_at from tenants order by name

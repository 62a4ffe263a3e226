-- tenant_set_defaults.sql: $1 id, $2 default placement, $3 default replica count
update tenants set default_placement = $2, default_replica_count = $3 where id = $1

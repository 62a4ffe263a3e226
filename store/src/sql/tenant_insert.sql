-- tenant_insert.sql: $1 id, $2 name, $3 policy, $4 default placement, $5 default replica count, $6 now
insert into tenants (id, name, policy, default_placement, default_replica_count, created_at)
values ($1, $2, $3, $4, $5, $6)

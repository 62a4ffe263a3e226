-- bucket_insert.sql: $1 id, $2 tenant, $3 name, $4 home, $5 replica count, $6 location, $7 policy, $8 now
insert into buckets (id, tenant, name, state, state_since, home, epoch, replica_count, location, policy, created_at,
    reconciled_at, generation)
values ($1, $2, $3, 'creating', $8, $4, 1, $5, $6, $7, $8, $8, (select coalesce(max(generation), 0) from queue_servers))

-- access_key_insert.sql: $1 id, $2 tenant, $3 sealed secret, $4 now
insert into access_keys (id, tenant, secret, enabled, created_at) values ($1, $2, $3, 1, $4)

-- tenant_set_signature_v2.sql: $1 id, $2 1 or 0
update tenants set signature_v2 = $2 where id = $1

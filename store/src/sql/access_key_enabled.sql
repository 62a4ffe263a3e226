-- access_key_enabled.sql: an enabled key with its sealed secret, and what its tenant allows. $1 id
select access_keys.id, tenant, secret, signature_v2 from access_keys join tenants on tenants.id = tenant
where access_keys.id = $1 and enabled = 1

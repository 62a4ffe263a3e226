-- access_key_enabled.sql: an enabled key with its sealed secret. $1 id
select id, tenant, secret from access_keys where id = $1 and enabled = 1

-- access_key_set_enabled.sql: $1 id, $2 1 or 0
update access_keys set enabled = $2 where id = $1

-- access_key_delete.sql: $1 id
delete from access_keys where id = $1

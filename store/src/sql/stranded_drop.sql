-- stranded_drop.sql: $1 id
delete from stranded_keys where id = $1

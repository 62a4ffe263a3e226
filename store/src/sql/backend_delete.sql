-- backend_delete.sql: $1 id
delete from backends where id = $1

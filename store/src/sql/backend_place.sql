-- backend_place.sql: $1 id
select place from backends where id = $1

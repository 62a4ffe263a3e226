-- backend_probe.sql: what was measured last, empty for nothing. $1 id
select probe from backends where id = $1

-- backend_set_probe.sql: $1 id, $2 what was measured
update backends set probe = $2 where id = $1

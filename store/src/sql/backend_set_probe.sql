-- backend_set_probe.sql: unless the backend is somewhere else by now. $1 id, $2 what was measured, $3 endpoint
update backends set probe = $2 where id = $1 and endpoint = $3

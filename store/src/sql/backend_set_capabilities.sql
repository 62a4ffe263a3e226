-- backend_set_capabilities.sql: unless the backend is somewhere else by now. $1 id, $2 capabilities, $3 endpoint
update backends set capabilities = $2 where id = $1 and endpoint = $3

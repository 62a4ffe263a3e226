-- backend_rewrap.sql: the same secret sealed anew, unless it is another by now. $1 id, $2 as it was sealed, $3 as it is sealed
update backends set secret_key = $3 where id = $1 and secret_key = $2

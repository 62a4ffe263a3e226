-- access_key_rewrap.sql: the same secret sealed anew, unless it is another by now. $1 id, $2 as it was sealed, $3 as it is sealed
update access_keys set secret = $3 where id = $1 and secret = $2

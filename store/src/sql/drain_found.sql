-- drain_found.sql: a look has come to its end. $1 id, $2 the next look, $3 what was found, $4 how many keys
update drains set look = $2, found = $3, keys = case when keys < 0 then $4 else keys end where id = $1 and ended_at = 0

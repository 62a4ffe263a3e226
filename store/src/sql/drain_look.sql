-- drain_look.sql: how far the look is. $1 id, $2 look
update drains set look = $2 where id = $1 and ended_at = 0

-- drain_set_state.sql: $1 id, $2 state, $3 when it was proven, 0 where it is not, $4 look
update drains set state = $2, proven_at = $3, look = $4 where id = $1 and ended_at = 0

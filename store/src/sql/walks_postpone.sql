-- walks_postpone.sql: walks that could go on wait longer for a backend. $1 backend, $2 now, $3 until when
update walks set due_at = $3 where finished_at = 0 and state = 'waiting' and waits_for = $1 and due_at <= $2

-- walk_claim.sql: a worker claims a walk that waits to begin by moving its due_at to the claim's end. No row changed:
-- another was faster. $1 walk, $2 the due_at that the caller saw, $3 the new one
update walks set due_at = $3 where id = $1 and state = 'waiting' and begun_at = 0 and due_at = $2

-- promotion_step.sql: $1 id, $2 the state that it is in, $3 the next one, $4 detail, $5 fence, $6 fenced at, $7 ended at
update promotions set state = $3, detail = $4, fence = $5, fenced_at = $6, ended_at = $7 where id = $1 and state = $2

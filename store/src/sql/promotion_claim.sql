-- promotion_claim.sql: a worker's turn at a promotion; no row where another was faster. $1 id, $2 the turn seen, $3 the next
update promotions set turn = $3 where id = $1 and turn = $2 and state not in ('done', 'failed')

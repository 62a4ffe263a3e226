-- promotion_detail.sql: what it waits for. $1 id, $2 detail
update promotions set detail = $2 where id = $1 and state not in ('done', 'failed')

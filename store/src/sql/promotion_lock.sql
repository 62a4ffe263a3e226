-- promotion_lock.sql: holds a promotion where it is, before the home has moved; no row where it has, or where the promotion has failed. $1 id
update promotions set turn = turn where id = $1 and state in ('preparing', 'fencing')

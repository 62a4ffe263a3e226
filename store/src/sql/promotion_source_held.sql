-- promotion_source_held.sql: the home that a promotion has left holds something that it had. $1 bucket, $2 the epoch that ended
update promotions set source_held = 1 where bucket = $1 and epoch = $2 and state = 'done' and source_held = 0

-- promotion_source_holds.sql: whether that was seen. $1 bucket, $2 the epoch that ended
select id from promotions where bucket = $1 and epoch = $2 and source_held = 1

-- promotion_source.sql: the home of an epoch that a promotion ended, or was to end. $1 bucket, $2 epoch
select source from promotions where bucket = $1 and epoch = $2 limit 1

-- drains_of.sql: the open ones of a bucket. $1 bucket
select * from drains where bucket = $1 and ended_at = 0 order by begun_at, id

-- stranded_at.sql: whether a key of a bucket waits for what an old home says of it. $1 bucket, $2 old home
select id from stranded_keys where bucket = $1 and home = $2 and state <> 'kept' limit 1

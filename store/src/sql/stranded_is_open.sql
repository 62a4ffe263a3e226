-- stranded_is_open.sql: whether any key of a bucket waits to be compared. $1 bucket
select id from stranded_keys where bucket = $1 and state <> 'kept' limit 1

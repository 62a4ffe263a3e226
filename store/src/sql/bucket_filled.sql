-- bucket_filled.sql: a walk was begun. $1 bucket, $2 the fill_due that the caller saw
update buckets set fill_due = 0 where id = $1 and fill_due = $2

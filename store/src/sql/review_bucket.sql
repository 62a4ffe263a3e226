-- review_bucket.sql: $1 bucket, $2 now
update buckets set review_due = $2 where id = $1

-- bucket_set_walked.sql: $1 bucket
update buckets set unwalked = 0 where id = $1

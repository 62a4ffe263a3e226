-- bucket_tags.sql: of a bucket in service. $1 bucket
select tags from buckets where id = $1 and state = 'active'

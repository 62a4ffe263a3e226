-- bucket_adopted.sql: puts an adopted bucket into service. $1 bucket, $2 now, $3 versioning as S3 names it, or empty
update buckets set state = 'active', state_since = $2, unwalked = 1, versioning = $3 where id = $1

-- backend_is_mapped.sql: a bucket that has a mapping or its home there. $1 backend
select bucket from bucket_backends where backend = $1
union all select id from buckets where home = $1 limit 1

-- backend_is_mapped.sql: a bucket that has a mapping or its home there. $1 backend
select bucket from bucket_backends where backend = $1
union all select id from buckets where home = $1
union all select bucket from bucket_migrations where ended_at = 0 and (source = $1 or target = $1) limit 1

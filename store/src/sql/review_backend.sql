-- review_backend.sql: all buckets that are on a backend. $1 backend, $2 now
update buckets set review_due = $2
where state in ('creating', 'active') and id in (select bucket from bucket_backends where backend = $1)

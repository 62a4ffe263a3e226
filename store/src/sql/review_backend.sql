-- review_backend.sql: a page of the buckets that are on a backend. One that is being deleted may come back. $1 backend, $2 the id before it,
-- $3 the last id, $4 now
update buckets set review_due = $4 where state <> 'retired'
    and id in (select bucket from bucket_backends where backend = $1 and bucket > $2 and bucket <= $3)

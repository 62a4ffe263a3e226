-- review_page_on_backend.sql: a page of the buckets that are on a backend, by id. $1 backend, $2 the one before it, $3 at most
select bucket from bucket_backends where backend = $1 and bucket > $2 order by bucket limit $3

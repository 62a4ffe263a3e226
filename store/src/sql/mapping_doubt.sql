-- mapping_doubt.sql: a drained replica was not empty after all, so it is looked through again. $1 bucket, $2 backend
update bucket_backends set state = 'draining' where bucket = $1 and backend = $2 and state = 'retiring'
    and exists (select 1 from buckets b where b.id = bucket_backends.bucket and b.state = 'active')

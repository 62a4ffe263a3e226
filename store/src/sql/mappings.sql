-- mappings.sql: all of a bucket, in whatever state. $1 bucket
select backend, physical, n, position, state from bucket_backends where bucket = $1 order by position

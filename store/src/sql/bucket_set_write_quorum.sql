-- bucket_set_write_quorum.sql: no row where there are not so many copies, or the bucket keeps versions. $1 bucket, $2 quorum
update buckets set write_quorum = $2
where id = $1 and $2 between 1 and replica_count and ($2 = 1 or versioning = '')

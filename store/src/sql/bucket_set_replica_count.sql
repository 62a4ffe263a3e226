-- bucket_set_replica_count.sql: no row where the placement cannot give so many, or the write quorum is more. $1 bucket, $2 count
update buckets set replica_count = $2 where id = $1 and write_quorum <= $2
    and $2 between 1 and (select count(*) from bucket_backends m where m.bucket = buckets.id and m.state = 'active')

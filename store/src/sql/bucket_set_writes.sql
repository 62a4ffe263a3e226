-- bucket_set_writes.sql: no row where the epoch is another or the bucket is out of service. $1 bucket, $2 epoch, $3 writes
update buckets set writes = $3 where id = $1 and epoch = $2 and state = 'active'

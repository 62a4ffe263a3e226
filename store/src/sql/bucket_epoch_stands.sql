-- bucket_epoch_stands.sql: a row while a worker may change copies by what it knows of an epoch. $1 bucket, $2 epoch
select id from buckets where id = $1 and epoch = $2 and writes <> 'fenced'

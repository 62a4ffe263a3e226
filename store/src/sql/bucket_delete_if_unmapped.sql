-- bucket_delete_if_unmapped.sql: drops a retired bucket whose last physical bucket is gone. $1 bucket
delete from buckets where id = $1 and state = 'retired'
    and not exists (select 1 from bucket_backends m where m.bucket = buckets.id)

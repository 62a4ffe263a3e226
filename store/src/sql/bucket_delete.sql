-- bucket_delete.sql: with all that refers to it. $1 bucket
delete from buckets where id = $1

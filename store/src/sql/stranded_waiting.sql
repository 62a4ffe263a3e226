-- stranded_waiting.sql: not compared yet, of all buckets. $1 id to start after, $2 limit
select id, bucket, object_key from stranded_keys where id > $1 and state <> 'kept' order by id limit $2

-- stranded_begin.sql: what is about to lose stands aside. $1 id, $2 backend, $3 physical bucket, $4 ETag, $5 bytes
update stranded_keys set kept_on = $2, kept_in = $3, etag = $4, size = $5 where id = $1 and state <> 'kept'

-- stranded_keep.sql: what has lost stands aside now. $1 id, $2 backend, $3 physical bucket, $4 ETag, $5 bytes
update stranded_keys set state = 'kept', kept_on = $2, kept_in = $3, etag = $4, size = $5 where id = $1

-- stranded_overwrite.sql: a client has written the key at its new home. $1 bucket, $2 key
update stranded_keys set state = 'overwritten' where bucket = $1 and object_key = $2 and state = 'open' and merging = 0

-- object_parts_prune.sql: what was kept under a key by a time, of whichever object. $1 bucket, $2 key, $3 time
delete from object_parts where bucket = $1 and object_key = $2 and kept_at <= $3

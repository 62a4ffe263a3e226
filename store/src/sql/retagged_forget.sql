-- retagged_forget.sql: those noted before a time. $1 bucket, $2 key, $3 time
delete from retagged_versions where bucket = $1 and object_key = $2 and noted_at < $3

-- version_copy_null_doubt.sql: forgets which version a backend calls `null`, which it may have replaced. $1 bucket, $2 key, $3 backend
delete from version_copies where bucket = $1 and object_key = $2 and backend = $3 and version = 'null'

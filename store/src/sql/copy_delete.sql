-- copy_delete.sql: $1 bucket, $2 key, $3 backend
delete from object_copies where bucket = $1 and object_key = $2 and backend = $3 and verified_how <> 'left'

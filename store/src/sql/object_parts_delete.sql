-- object_parts_delete.sql: $1 bucket, $2 key
delete from object_parts where bucket = $1 and object_key = $2

-- tags_delete.sql: $1 bucket, $2 key
delete from object_tags where bucket = $1 and object_key = $2

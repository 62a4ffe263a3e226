-- tags_delete_all.sql: $1 bucket
delete from object_tags where bucket = $1

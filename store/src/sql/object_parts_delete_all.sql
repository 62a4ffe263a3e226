-- object_parts_delete_all.sql: $1 bucket
delete from object_parts where bucket = $1

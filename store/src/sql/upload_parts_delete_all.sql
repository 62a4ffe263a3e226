-- upload_parts_delete_all.sql: $1 bucket
delete from upload_parts where bucket = $1

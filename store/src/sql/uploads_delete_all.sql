-- uploads_delete_all.sql: $1 bucket
delete from uploads where bucket = $1

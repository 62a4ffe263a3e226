-- checksums_delete_all.sql: $1 bucket
delete from object_checksums where bucket = $1

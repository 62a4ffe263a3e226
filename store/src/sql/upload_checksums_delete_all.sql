-- upload_checksums_delete_all.sql: $1 bucket
delete from upload_checksums where bucket = $1

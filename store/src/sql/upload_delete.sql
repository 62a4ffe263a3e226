-- upload_delete.sql: $1 bucket, $2 upload id
delete from uploads where bucket = $1 and upload_id = $2

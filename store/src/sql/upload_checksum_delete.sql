-- upload_checksum_delete.sql: $1 bucket, $2 upload id
delete from upload_checksums where bucket = $1 and upload_id = $2

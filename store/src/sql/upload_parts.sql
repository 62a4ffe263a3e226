-- upload_parts.sql: $1 bucket, $2 upload id
select part_number, etag, size, value from upload_parts where bucket = $1 and upload_id = $2 order by part_number

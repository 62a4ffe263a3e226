-- upload_place_delete.sql: $1 bucket, $2 the home's upload id, $3 backend
delete from upload_places where bucket = $1 and upload_id = $2 and backend = $3

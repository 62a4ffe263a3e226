-- upload_places_of_key.sql: uploads at a replica that no worker may touch. $1 bucket, $2 key, $3 backend
select place_upload_id from upload_places where bucket = $1 and object_key = $2 and backend = $3 and lost = 0

-- upload_places_at.sql: $1 bucket, $2 backend
select bucket, upload_id, backend, place_upload_id, object_key, home, looked_at from upload_places where bucket = $1 and backend = $2

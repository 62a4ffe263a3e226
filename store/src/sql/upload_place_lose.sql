-- upload_place_lose.sql: $1 bucket, $2 the home's upload id, $3 backend, $4 now
update upload_places set lost = 1, looked_at = $4 where bucket = $1 and upload_id = $2 and backend = $3

-- upload_places_lose.sql: all of an upload's. $1 bucket, $2 the home's upload id, $3 now
update upload_places set lost = 1, looked_at = $3 where bucket = $1 and upload_id = $2 and lost = 0

-- upload_place_claim.sql: no row where another worker was faster. $1 bucket, $2 the home's upload id, $3 backend, $4 the looked_at that
-- the caller saw, $5 the new one
update upload_places set looked_at = $5 where bucket = $1 and upload_id = $2 and backend = $3 and looked_at = $4

-- upload_places_lose_all.sql: all of a bucket's. $1 bucket, $2 now, or 0 for a look at once
update upload_places set lost = 1, looked_at = $2 where bucket = $1 and lost = 0

-- upload_places_leave.sql: all of them are the workers' now, who look at once. $1 bucket, $2 the home's upload id
update upload_places set lost = 1, looked_at = 0 where bucket = $1 and upload_id = $2

-- upload_places_leave.sql: the upload has ended; workers look at once at what is left. $1 bucket, $2 the home's upload id
update upload_places set lost = 1, looked_at = 0 where bucket = $1 and upload_id = $2

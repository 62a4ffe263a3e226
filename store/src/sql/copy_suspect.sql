-- copy_suspect.sql: the bytes of a copy are not the home's, though its ETag says so. $1 bucket, $2 key, $3 backend, $4 its ETag
update object_copies set verified_how = 'suspect', verified_at = 0
where bucket = $1 and object_key = $2 and backend = $3 and etag = $4

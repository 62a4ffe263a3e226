-- version_copy_suspect.sql: the bytes of a version are not the home's. $1 bucket, $2 key, $3 backend, $4 its own version id
update version_copies set verified_how = 'suspect', verified_at = 0
where bucket = $1 and object_key = $2 and backend = $3 and version = $4

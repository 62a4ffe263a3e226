-- version_copy_gone.sql: a backend has a version no more. $1 bucket, $2 key, $3 backend, $4 the id that clients know, $5 its own, $6 now
update version_copies set verified_how = 'gone', verified_at = $6
where bucket = $1 and object_key = $2 and backend = $3 and home_version = $4 and version = $5

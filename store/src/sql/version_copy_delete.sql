-- version_copy_delete.sql: only while it says what was seen. $1 bucket, $2 key, $3 backend, $4 the home's version, $5 the backend's
delete from version_copies where bucket = $1 and object_key = $2 and backend = $3 and home_version = $4 and version = $5

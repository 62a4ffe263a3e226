-- version_copy_over.sql: a `null` version that another one has replaced, or is to. $1 bucket, $2 key, $3 backend, $4 its own id, $5 how, $6 now
update version_copies set verified_how = $5, verified_at = $6
where bucket = $1 and object_key = $2 and backend = $3 and home_version = 'null' and version = $4

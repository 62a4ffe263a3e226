-- version_null.sql: a backend's own id of the `null` version that clients know, or that is to go. $1 bucket, $2 key, $3 backend
select version, verified_how from version_copies
where bucket = $1 and object_key = $2 and backend = $3 and home_version = 'null' and verified_how <> 'gone'

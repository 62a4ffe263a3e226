-- mapping_rename.sql: $1 bucket, $2 backend, $3 new physical name, $4 its n
update bucket_backends set physical = $3, n = $4 where bucket = $1 and backend = $2

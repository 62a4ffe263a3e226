-- mapping_set.sql: $1 bucket, $2 backend, $3 state, $4 position in the placement
update bucket_backends set state = $3, position = $4 where bucket = $1 and backend = $2

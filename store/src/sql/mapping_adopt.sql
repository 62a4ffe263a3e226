-- mapping_adopt.sql: a bucket that is there already. $1 bucket, $2 backend, $3 physical name, $4 1 where it outlives the logical one
insert into bucket_backends (bucket, backend, physical, n, position, state, adopted) values ($1, $2, $3, 0, 0, 'active', $4)

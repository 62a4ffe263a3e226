-- mapping_insert.sql: $1 bucket, $2 backend, $3 physical name, $4 n of the formula, $5 position in the placement
insert into bucket_backends (bucket, backend, physical, n, position, state) values ($1, $2, $3, $4, $5, 'active')

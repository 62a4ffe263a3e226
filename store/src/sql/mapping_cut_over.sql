-- mapping_cut_over.sql: the bucket's home is another physical bucket of the same backend from here on.
-- $1 bucket, $2 backend, $3 physical name, $4 its n
update bucket_backends set physical = $3, n = $4, adopted = 0 where bucket = $1 and backend = $2

-- promotion_keys_sweep.sql: those of a page of keys. $1 bucket, $2 the key before it, $3 its last
delete from promotion_keys where bucket = $1 and object_key > $2 and object_key <= $3

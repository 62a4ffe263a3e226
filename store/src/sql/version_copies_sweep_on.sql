-- version_copies_sweep_on.sql: those of a page of keys on one backend. $1 bucket, $2 the key before it, $3 its last, $4 backend
delete from version_copies where bucket = $1 and object_key > $2 and object_key <= $3 and backend = $4

-- copies_nth.sql: the key with $4 others between it and $3. $1 bucket, $2 backend
select object_key from object_copies where bucket = $1 and backend = $2 and object_key > $3
order by object_key limit 1 offset $4

-- copies_left.sql: what a former home had at the cut over, of keys in a range, both ends included. $1 bucket, $2 the id that it is
-- recorded under, $3 first key, $4 last key
select object_key, etag, size from object_copies
where bucket = $1 and backend = $2 and object_key >= $3 and object_key <= $4

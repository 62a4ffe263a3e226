-- copies_between.sql: of all keys in a range, both ends included. $1 bucket, $2 first key, $3 last key, $4 most rows
select object_key, backend, home_etag, verified_at
from object_copies where bucket = $1 and object_key >= $2 and object_key <= $3 and verified_how <> 'left'
order by object_key, backend limit $4

-- copies.sql: $1 bucket, $2 key
select backend, etag, home_etag, size, verified_how, verified_at
from object_copies where bucket = $1 and object_key = $2 and verified_how <> 'left' order by backend

-- version_copies_after.sql: of all keys after $2 up to $3, or to the end where $4 is 1. $1 bucket, $5 most rows
select object_key, backend, home_version, version, position, is_marker, etag, home_etag, size, home_modified, verified_how, verified_at
from version_copies where bucket = $1 and object_key > $2 and ($4 = 1 or object_key <= $3) and verified_how not in ('gone', 'replaced')
order by object_key, backend, position limit $5

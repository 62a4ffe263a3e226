-- version_copies_between.sql: those on one backend, by key and the newest first. $1 bucket, $2 backend, $3 first key, $4 last key, $5 of the first key only those before this position, $6 how many
select object_key, backend, home_version, version, position, is_marker, etag, home_etag, size, home_modified, verified_how, verified_at
from version_copies where bucket = $1 and backend = $2 and object_key >= $3 and object_key <= $4 and (object_key > $3 or position < $5)
order by object_key, position desc limit $6

-- version_copies.sql: those on one backend, the oldest first. $1 bucket, $2 key, $3 backend, $4 how many
select backend, home_version, version, position, is_marker, etag, home_etag, size, home_modified, verified_how, verified_at
from version_copies where bucket = $1 and object_key = $2 and backend = $3 order by position limit $4

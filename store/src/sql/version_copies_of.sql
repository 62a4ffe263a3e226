-- version_copies_of.sql: one version on all backends. $1 bucket, $2 key, $3 the home's version
select backend, home_version, version, position, is_marker, etag, home_etag, size, home_modified, verified_how, verified_at
from version_copies where bucket = $1 and object_key = $2 and home_version = $3 and verified_how not in ('gone', 'replaced') order by backend

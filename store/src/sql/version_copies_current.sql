-- version_copies_current.sql: the current version on each backend. $1 bucket, $2 key
select backend, home_version, version, position, is_marker, etag, home_etag, size, home_modified, verified_how, verified_at
from version_copies as one where bucket = $1 and object_key = $2 and verified_how not in ('gone', 'replaced') and position = (
    select max(other.position) from version_copies as other
    where other.bucket = one.bucket and other.object_key = one.object_key and other.backend = one.backend
        and other.verified_how not in ('gone', 'replaced')
) order by backend

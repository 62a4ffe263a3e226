-- version_named.sql: a backend's own id of a version. A `null` version that has gone says nothing: there may be another one by now.
-- $1 bucket, $2 key, $3 backend, $4 the id that clients know
select version from version_copies
where bucket = $1 and object_key = $2 and backend = $3 and home_version = $4
    and (verified_how not in ('gone', 'replaced') or home_version <> 'null')

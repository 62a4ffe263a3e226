-- version_owned.sql: what clients know a backend's version by; as version_named.sql. $1 bucket, $2 key, $3 backend, $4 the backend's own id
select home_version from version_copies
where bucket = $1 and object_key = $2 and backend = $3 and version = $4
    and (verified_how not in ('gone', 'replaced') or home_version <> 'null')
order by home_version limit 1

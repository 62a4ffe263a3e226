-- version_called_null.sql: whether a backend calls a version `null` that clients do not. $1 bucket, $2 backend
select 1 as one from version_copies
where bucket = $1 and backend = $2 and version = 'null' and home_version <> 'null' and verified_how not in ('gone', 'replaced') limit 1

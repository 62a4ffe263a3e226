-- version_copies_prune.sql: forgets versions that homes have no more since before $1, at most $2.
delete from version_copies where (bucket, object_key, backend, home_version) in (
    select bucket, object_key, backend, home_version from version_copies
    where verified_how = 'gone' and verified_at < $1 order by verified_at limit $2)

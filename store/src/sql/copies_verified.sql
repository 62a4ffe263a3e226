-- copies_verified.sql: other keys that were verified on a backend by a time. $1 bucket, $2 backend, $3 time, $4 key to leave out, $5 limit
select object_key from object_copies
where bucket = $1 and backend = $2 and verified_at > 0 and verified_at <= $3 and object_key <> $4 order by object_key limit $5

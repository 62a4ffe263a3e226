-- checksums_trim.sql: the newest under a key stay. $1 bucket, $2 key, $3 how many
delete from object_checksums where bucket = $1 and object_key = $2 and kept_at < (
    select kept_at from object_checksums where bucket = $1 and object_key = $2 order by kept_at desc limit 1 offset $3 - 1)

-- retagged.sql: $1 bucket, $2 key, $3 noted before
select version from retagged_versions where bucket = $1 and object_key = $2 and noted_at < $3

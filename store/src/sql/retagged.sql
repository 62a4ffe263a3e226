-- retagged.sql: $1 bucket, $2 key
select version from retagged_versions where bucket = $1 and object_key = $2

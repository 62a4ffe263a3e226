-- object_parts.sql: $1 bucket, $2 key, $3 ETag, $4 size
select algorithm, parts from object_parts where bucket = $1 and object_key = $2 and etag = $3 and size = $4

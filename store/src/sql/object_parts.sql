-- object_parts.sql: $1 bucket, $2 key
select etag, size, algorithm, parts from object_parts where bucket = $1 and object_key = $2

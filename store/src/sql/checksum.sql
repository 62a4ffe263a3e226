-- checksum.sql: $1 bucket, $2 key
select etag, size, algorithm, kind, value from object_checksums where bucket = $1 and object_key = $2

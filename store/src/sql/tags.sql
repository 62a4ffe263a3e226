-- tags.sql: $1 bucket, $2 key
select etag, tags from object_tags where bucket = $1 and object_key = $2

-- mapping_first.sql: puts a backend first in its bucket's placement. $1 bucket, $2 backend
update bucket_backends set position = (select min(position) from bucket_backends where bucket = $1) - 1
where bucket = $1 and backend = $2

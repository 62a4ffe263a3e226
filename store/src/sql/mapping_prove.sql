-- mapping_prove.sql: a drained replica was seen empty; no row where it is no longer drained. $1 bucket, $2 backend
update bucket_backends set state = 'retiring' where bucket = $1 and backend = $2 and state = 'draining'

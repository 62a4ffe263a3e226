-- copy_trust.sql: a suspect copy was written anew. $1 bucket, $2 key, $3 backend
update object_copies set verified_how = 'pending'
where bucket = $1 and object_key = $2 and backend = $3 and verified_how = 'suspect'

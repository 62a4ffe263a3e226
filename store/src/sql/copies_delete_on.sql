-- copies_delete_on.sql: all on one backend. $1 bucket, $2 backend
delete from object_copies where bucket = $1 and backend = $2

-- version_copies_delete_on.sql: all on one backend. $1 bucket, $2 backend
delete from version_copies where bucket = $1 and backend = $2

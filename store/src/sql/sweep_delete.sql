-- sweep_delete.sql: it has come to its end. $1 bucket, $2 what, $3 backend
delete from sweeps where bucket = $1 and what = $2 and backend = $3

-- stranded_aside.sql: of how many stranded keys of a bucket something stands aside on a backend. $1 bucket, $2 backend
select count(*) as aside from stranded_keys where bucket = $1 and kept_on = $2 and kept_on <> ''

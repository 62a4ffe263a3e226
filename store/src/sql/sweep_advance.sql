-- sweep_advance.sql: $1 bucket, $2 what, $3 backend, $4 all keys up to this one are done
update sweeps set after = $4 where bucket = $1 and what = $2 and backend = $3

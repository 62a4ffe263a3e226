-- sweep_of_copies.sql: whether records of former copies on a backend are still being removed. $1 bucket, $2 backend
select after from sweeps where bucket = $1 and what = 'copies' and backend = $2

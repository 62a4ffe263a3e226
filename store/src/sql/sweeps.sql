-- sweeps.sql: those that have not come to their end, $1 at most
select bucket, what, backend, after from sweeps order by bucket, what, backend limit $1

-- backend_keeps_stranded.sql: whether something of a stranded key stands aside on a backend. $1 backend
select id from stranded_keys where kept_on = $1 and kept_on <> '' limit 1

-- mapping_prove.sql: a drained replica was seen empty; no row where it is no longer drained, or something of a stranded key stands aside on its
-- backend. $1 bucket, $2 backend
update bucket_backends set state = 'retiring' where bucket = $1 and backend = $2 and state = 'draining'
    and not exists (select 1 from stranded_keys s where s.bucket = $1 and s.kept_on = $2 and s.kept_on <> '')

-- copies_count.sql: keys on a backend after $3, at most $4 of them. $1 bucket, $2 backend
select count(*) as n from (
    select 1 from object_copies where bucket = $1 and backend = $2 and object_key > $3 limit $4) as some_keys

-- drains.sql: newest first. $1 bucket or empty for all, $2 backend or empty for all, $3, $4 time and id to start after, $5 at most
select * from drains where ($1 = '' or bucket = $1) and ($2 = '' or backend = $2) and (begun_at, id) < ($3, $4)
order by begun_at desc, id desc limit $5

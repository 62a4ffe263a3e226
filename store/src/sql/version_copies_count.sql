-- version_copies_count.sql: how many there are on each backend. $1 bucket, $2 key
select backend, count(*) as held from version_copies where bucket = $1 and object_key = $2 and verified_how not in ('gone', 'replaced') group by backend order by backend

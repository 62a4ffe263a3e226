-- copies_held.sql: whether a copy of any key, or of any version of one, was verified on a backend. $1 bucket, $2 backend
select cast(case when exists (
        select 1 from object_copies where bucket = $1 and backend = $2 and verified_how not in ('pending', 'left'))
    or exists (select 1 from version_copies where bucket = $1 and backend = $2)
    then 1 else 0 end as bigint) as n

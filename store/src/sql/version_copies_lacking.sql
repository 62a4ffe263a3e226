-- version_copies_lacking.sql: of a page of keys those with a version on a backend of which none is noted on another.
-- $1 bucket, $2 the backend, $3 the other, $4 the key before the page, $5 its last
select distinct v.object_key from version_copies v
where v.bucket = $1 and v.backend = $2 and v.object_key > $4 and v.object_key <= $5 and v.verified_how not in ('gone', 'replaced')
    and not exists (select 1 from version_copies o where o.bucket = v.bucket and o.object_key = v.object_key
        and o.backend = $3 and o.home_version = v.home_version)
order by v.object_key

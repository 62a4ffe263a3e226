-- copies_of_all.postgres.sql: Own text: each database reads JSON its own way.
-- $1 bucket and key of each wanted, as JSON, keys in hex. By the index also while the table has no statistics: `offset 0` keeps
-- each key's lookup one of its own.
select c.bucket, c.object_key, c.backend, c.etag, c.home_etag, c.size, c.verified_how, c.verified_at
from jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as wanted(bucket text, object_key text)
cross join lateral (
    select * from object_copies
    where bucket = wanted.bucket and object_key = decode(wanted.object_key, 'hex') and verified_how <> 'left'
    offset 0
) c
order by c.bucket, c.object_key, c.backend

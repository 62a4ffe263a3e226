-- copies_of_all.postgres.sql: Own text: each database reads JSON its own way.
-- $1 bucket and key of each wanted, as JSON, keys in hex
select c.bucket, c.object_key, c.backend, c.etag, c.home_etag, c.size, c.verified_how, c.verified_at
from jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as wanted(bucket text, object_key text)
join object_copies c on c.bucket = wanted.bucket and c.object_key = decode(wanted.object_key, 'hex') and c.verified_how <> 'left'
order by c.bucket, c.object_key, c.backend

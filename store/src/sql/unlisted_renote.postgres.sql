-- unlisted_renote.postgres.sql: Own text: each database reads JSON its own way, and a range over buckets is taken for half of a large table.
-- $1 bucket and key of each, as JSON, keys in hex, $2 now
update unlisted_writes set noted_at = $2
from jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as noted(bucket text, object_key text)
where unlisted_writes.bucket = noted.bucket and unlisted_writes.object_key = decode(noted.object_key, 'hex')

-- tags_of_all.postgres.sql: Own text: each database reads JSON its own way.
-- $1 bucket and key of each wanted, as JSON, keys in hex
select t.bucket, t.object_key, t.etag, t.tags
from jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as wanted(bucket text, object_key text)
join object_tags t on t.bucket = wanted.bucket and t.object_key = decode(wanted.object_key, 'hex')

-- jobs_insert.postgres.sql: Own text: each database reads JSON its own way.
-- $1 rows as JSON, keys in hex
insert into jobs (id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at)
select id, bucket, decode(object_key, 'hex'), outcome, detail, attempts, request_id, started_at, finished_at
from jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as given(
    id text, bucket text, object_key text, outcome text, detail text, attempts bigint, request_id text,
    started_at bigint, finished_at bigint)

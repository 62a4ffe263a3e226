-- jobs_insert.sqlite.sql: Own text: each database reads JSON its own way.
-- $1 rows as JSON, keys in hex
insert into jobs (id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at)
select value ->> 'id', value ->> 'bucket', unhex(value ->> 'object_key'), value ->> 'outcome', value ->> 'detail',
    value ->> 'attempts', value ->> 'request_id', value ->> 'started_at', value ->> 'finished_at'
from json_each($1)

-- jobs.sql: newest first, $1 at most
select bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at
from jobs order by finished_at desc, id desc limit $1

-- jobs.sql: newest first. $1, $2 time and id to start after, $3 at most
select id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at
from jobs where finished_at <= $1 and (finished_at, id) < ($1, $2) order by finished_at desc, id desc limit $3

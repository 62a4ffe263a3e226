-- jobs_of_bucket.sql: newest first. $1 bucket, $2, $3 time and id to start after, $4 at most
select id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at
from jobs where bucket = $1 and finished_at <= $2 and (finished_at, id) < ($2, $3)
order by finished_at desc, id desc limit $4

-- jobs_of_bucket.sql: newest first. $1 bucket, $2 at most
select bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at
from jobs where bucket = $1 order by finished_at desc, id desc limit $2

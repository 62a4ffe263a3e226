-- job_insert.sql: $1 id, $2 bucket, $3 key, $4 outcome, $5 detail, $6 attempts, $7 request id, $8 began, $9 ended
insert into jobs (id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)

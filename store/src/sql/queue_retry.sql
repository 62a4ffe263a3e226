-- queue_retry.sql: puts a claimed job off; one whose key was written meanwhile is queued at once, as if new.
-- $1 bucket, $2 key, $3 claim, $4 due, $5 attempts to count: 1, or 0 where the job is not to blame, $6 sequence when claimed, $7 now
update dirty_keys set state = case when sequence = $6 then 'delayed' else 'ready' end, attempts = case when sequence = $6 then attempts + $5 else 0 end,
    claimed_by = '', claim = '', lane = case when sequence = $6 then lane else 0 end,
    due_at = case when sequence = $6 then cast($4 as bigint) else cast($7 as bigint) end
where bucket = $1 and object_key = $2 and state = 'claimed' and claim = $3

-- bucket_claim_retired.sql: a retired bucket is one worker's until its state_since has come; that is its claim.
-- No row changed: another worker was faster. $1 bucket, $2 the state_since that the caller saw, $3 the new one
update buckets set state_since = $3 where id = $1 and state = 'retired' and state_since = $2

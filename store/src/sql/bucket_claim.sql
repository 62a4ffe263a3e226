-- bucket_claim.sql: a worker claims a bucket that is not in service by moving its state_since to the claim's end.
-- No row changed: another worker was faster. $1 bucket, $2 the state_since that the caller saw, $3 the new one
update buckets set state_since = $3 where id = $1 and state <> 'active' and state_since = $2

-- queue_claim.sqlite.sql: claims due keys, among them those whose claim is older than the lease.
-- Own text: PostgreSQL needs skip locked; here the write transaction keeps other workers out.
-- A worker that died over a key has failed at it: else a key that kills workers would come back for ever.
-- $1 now, $2 lease, $3 at most, $4 consumer, $5 claim, $6 lane
update dirty_keys set state = 'claimed', due_at = $1, claimed_by = $4, claim = $5,
    attempts = attempts + case when state = 'claimed' then 1 else 0 end
where rowid in (
    select rowid from dirty_keys
    where lane = $6 and state <> 'dead' and due_at <= $1 and (state <> 'claimed' or due_at <= $1 - $2)
    order by due_at limit $3)
returning bucket, object_key, sequence, attempts, request_id, dirty_since

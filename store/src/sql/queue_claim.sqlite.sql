-- queue_claim.sqlite.sql: claims due keys, among them those whose claim is older than the lease: of each flow those due first, so that
-- no tenant's burst keeps another waiting.
-- Own text: PostgreSQL needs skip locked; here the write transaction keeps other workers out.
-- A worker that died over a key has failed at it: else a key that kills workers would come back for ever.
-- $1 now, $2 lease, $3 at most, $4 consumer, $5 claim, $6 lane
with recursive flows (flow) as (values (0) union all select flow + 1 from flows where flow < 15),
first as (
    select k.rowid as id, row_number() over (partition by k.flow order by k.due_at) as turn, k.due_at
    from flows cross join dirty_keys k on k.rowid in (
        select rowid from dirty_keys
        where lane = $6 and flow = flows.flow and state <> 'dead' and due_at <= $1
            and (state <> 'claimed' or due_at <= $1 - $2)
        order by due_at limit $3))
update dirty_keys set state = 'claimed', due_at = $1, claimed_by = $4, claim = $5,
    attempts = attempts + case when state = 'claimed' then 1 else 0 end
where rowid in (select id from first order by turn, due_at limit $3)
returning bucket, object_key, sequence, attempts, request_id, dirty_since

-- queue_claim.postgres.sql: claims due keys, among them those whose claim is older than the lease: of each flow those due first, so that
-- no tenant's burst keeps another waiting.
-- Own text: concurrent workers step over each other's rows with skip locked, which SQLite neither has nor needs. So that they find
-- others behind those, each flow is asked for more than are claimed.
-- A worker that died over a key has failed at it: else a key that kills workers would come back for ever.
-- $1 now, $2 lease, $3 at most, $4 consumer, $5 claim, $6 lane
with first as (
    select f.place, f.due_at, row_number() over (partition by flows.number order by f.due_at) as turn
    from generate_series(0, 15) flows (number) cross join lateral (
        select k.ctid as place, k.due_at from dirty_keys k
        where k.lane = $6 and k.flow = flows.number and k.state <> 'dead' and k.due_at <= $1
            and (k.state <> 'claimed' or k.due_at <= $1 - $2)
        order by k.due_at limit $3 * 4
    ) f
), due as (
    select k.bucket as due_bucket, k.object_key as due_key
    from unnest(array(select place from first order by turn, due_at limit $3 * 4)) with ordinality found (place, turn)
    join dirty_keys k on k.ctid = found.place
    where k.lane = $6 and k.state <> 'dead' and k.due_at <= $1 and (k.state <> 'claimed' or k.due_at <= $1 - $2)
    order by found.turn limit $3 for update of k skip locked)
update dirty_keys set state = 'claimed', due_at = $1, claimed_by = $4, claim = $5,
    attempts = attempts + case when state = 'claimed' then 1 else 0 end
from due where bucket = due_bucket and object_key = due_key
returning bucket, object_key, sequence, attempts, request_id, dirty_since

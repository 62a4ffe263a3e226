-- walk_shards_free.sql: what a worker may walk, first of the walk that fewest workers are at, then of those that nothing has stopped
-- since their last step, then of the oldest: neither one that goes on for days nor many that cannot go on keep others waiting.
-- $1 now, $2 most, $3 a kind that is left out, or nothing
select s.walk, s.position, s.after, s.up_to, s.walked_to, s.marked, s.claimed_until, w.bucket, w.kind, w.epoch, w.approved, w.rate
from walks w join walk_shards s on s.walk = w.id left join (
    select h.walk, count(*) as n from walks v join walk_shards h on h.walk = v.id
    where v.finished_at = 0 and v.state = 'running' and h.finished = 0 and h.claimed_until >= $1 group by h.walk
) held on held.walk = w.id
where w.finished_at = 0 and w.state = 'running' and w.kind <> $3 and s.finished = 0 and s.claimed_until < $1
order by coalesce(held.n, 0), case when w.attempts > 0 then 1 else 0 end, w.created_at, w.id, s.position limit $2

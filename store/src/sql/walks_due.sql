-- walks_due.sql: walks that are to begin now; each lets those of its kind before it end.
-- $1 now, $2 most
select w.id, w.bucket, w.kind, w.reason, w.rate, w.state, w.note, w.approved, w.total, w.epoch, w.attempts, w.due_at,
    w.created_at, w.begun_at, w.finished_at,
    (select cast(coalesce(sum(s.done), 0) as bigint) from walk_shards s where s.walk = w.id) as done,
    (select cast(coalesce(sum(s.marked), 0) as bigint) from walk_shards s where s.walk = w.id) as marked,
    (select cast(coalesce(sum(s.deletes), 0) as bigint) from walk_shards s where s.walk = w.id) as deletes
from walks w where w.finished_at = 0 and w.state = 'waiting' and w.begun_at = 0 and w.due_at <= $1 and not exists (
    select 1 from walks o where o.bucket = w.bucket and o.kind = w.kind and o.begun_at > 0 and o.finished_at = 0)
order by w.due_at, w.id limit $2

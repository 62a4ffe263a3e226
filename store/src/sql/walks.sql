-- walks.sql: newest first. $1, $2 time and id to start after, $3 most
select w.id, w.bucket, w.kind, w.reason, w.rate, w.state, w.note, w.approved, w.total, w.epoch, w.attempts, w.due_at,
    w.created_at, w.begun_at, w.finished_at,
    (select cast(coalesce(sum(s.done), 0) as bigint) from walk_shards s where s.walk = w.id) as done,
    (select cast(coalesce(sum(s.marked), 0) as bigint) from walk_shards s where s.walk = w.id) as marked,
    (select cast(coalesce(sum(s.deletes), 0) as bigint) from walk_shards s where s.walk = w.id) as deletes
from walks w where w.created_at <= $1 and (w.created_at, w.id) < ($1, $2)
order by w.created_at desc, w.id desc limit $3

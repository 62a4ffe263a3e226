-- walk_shards_free.sql: what a worker may walk, oldest walk first. $1 now, $2 most
select s.walk, s.position, s.after, s.up_to, s.walked_to, s.claimed_until, w.bucket, w.kind, w.epoch, w.approved, w.rate
from walks w join walk_shards s on s.walk = w.id
where w.finished_at = 0 and w.state = 'running' and s.finished = 0 and s.claimed_until < $1
order by w.created_at, w.id, s.position limit $2

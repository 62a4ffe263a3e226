-- promotions_running.sql: not ended, the oldest first, at most $1
select id, bucket, source, target, epoch, forced, state, detail, fence, begun_at, fenced_at, ended_at, turn
from promotions where state not in ('done', 'failed') order by begun_at, id limit $1

-- promotion.sql: $1 id
select id, bucket, source, target, epoch, forced, state, detail, fence, begun_at, fenced_at, ended_at, turn
from promotions where id = $1

-- promotions_of_bucket.sql: the last ones, the newest first. $1 bucket, $2 limit
select id, bucket, source, target, epoch, forced, state, detail, fence, begun_at, fenced_at, ended_at, turn
from promotions where bucket = $1 order by begun_at desc, id desc limit $2

-- migrations_of_bucket.sql: the last ones, the newest first. $1 bucket, $2 limit
select id, bucket, source, source_physical, target, target_physical, target_n, former, drop_old, is_deep, asked_by, state, detail,
    walk, promotion, epoch, look, begun_at, since, moved_at, ended_at, turn
from bucket_migrations where bucket = $1 order by begun_at desc, id desc limit $2

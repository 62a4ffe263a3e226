-- migration_promoted.sql: the one that a promotion cuts over. $1 bucket, $2 promotion
select id, bucket, source, source_physical, target, target_physical, target_n, former, drop_old, is_deep, asked_by, state, detail,
    walk, promotion, epoch, look, begun_at, since, moved_at, ended_at, turn
from bucket_migrations where bucket = $1 and promotion = $2 and state = 'moving'

-- migrations_due.sql: not ended and nobody's turn at $1, the one that waits longest first, $2 at most
select id, bucket, source, source_physical, target, target_physical, target_n, former, drop_old, is_deep, asked_by, state, detail,
    walk, promotion, epoch, look, begun_at, since, moved_at, ended_at, turn
from bucket_migrations where ended_at = 0 and turn <= $1 order by turn, id limit $2

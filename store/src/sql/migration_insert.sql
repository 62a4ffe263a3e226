-- migration_insert.sql: $1 id, $2 bucket, $3 source, $4 its physical name, $5 target, $6 its physical name, $7 n of that name,
-- $8 former, $9 drop the old one, $10 deep, $11 by whom, $12 epoch, $13 look, $14 now
insert into bucket_migrations (id, bucket, source, source_physical, target, target_physical, target_n, former, drop_old, is_deep,
    asked_by, state, detail, walk, promotion, epoch, look, begun_at, since, moved_at, ended_at, turn)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'filling', '', '', '', $12, $13, $14, $14, 0, 0, 0)

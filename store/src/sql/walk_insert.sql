-- walk_insert.sql: no row where one like it waits to begin. $1 id, $2 bucket, $3 kind, $4 reason, $5 rate, $6 now
insert into walks (id, bucket, kind, reason, rate, state, note, approved, total, epoch, attempts, due_at, paced_until,
    created_at, begun_at, finished_at)
values ($1, $2, $3, $4, $5, 'waiting', '', 0, 0, 0, 0, 0, 0, $6, 0, 0)
on conflict do nothing

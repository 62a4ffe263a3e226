-- promotion_insert.sql: of a bucket in service, by one of its replicas or by where it is migrated to; no row where it is not so.
-- $1 id, $2 bucket, $3 target, $4 the epoch that the caller saw, $5 forced, $6 now, $7 the change that began it
insert into promotions (id, bucket, source, target, epoch, forced, state, detail, fence, begun_at, fenced_at, ended_at, turn)
select cast($1 as text), b.id, b.home, cast($3 as text), b.epoch, cast($5 as bigint), 'preparing', '', cast($7 as bigint),
    cast($6 as bigint), 0, 0, 0
from buckets b
where b.id = $2 and b.state = 'active' and b.epoch = $4 and b.home <> $3 and (
    exists (select 1 from bucket_backends m where m.bucket = b.id and m.backend = $3 and m.state = 'active')
    or exists (select 1 from bucket_migrations g
        where g.bucket = b.id and g.target = $3 and g.state = 'filling' and g.ended_at = 0))

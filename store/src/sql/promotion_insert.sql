-- promotion_insert.sql: of a bucket in service, by one of its replicas; no row where it is not so.
-- $1 id, $2 bucket, $3 target, $4 the epoch that the caller saw, $5 forced, $6 now, $7 the change that began it
insert into promotions (id, bucket, source, target, epoch, forced, state, detail, fence, begun_at, fenced_at, ended_at, turn)
select cast($1 as text), b.id, b.home, m.backend, b.epoch, cast($5 as bigint), 'preparing', '', cast($7 as bigint),
    cast($6 as bigint), 0, 0, 0
from buckets b join bucket_backends m on m.bucket = b.id and m.backend = $3 and m.state = 'active'
where b.id = $2 and b.state = 'active' and b.epoch = $4 and b.home <> m.backend and b.versioning = ''

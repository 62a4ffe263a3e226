-- buckets_suspect.sql: buckets that no walk has been over since $1, a generation of the queue's servers, nor is about to be. Walks are
-- counted bucket by bucket, so that as many buckets are read as are asked for. $2 behind which bucket, $3 most
select b.id from buckets b where b.state = 'active' and b.generation < $1 and b.id > $2 and 0 = (
    select count(*) from walks w where w.bucket = b.id and w.kind <> 'backfill' and ((w.state = 'done' and w.generation >= $1)
        or (w.finished_at = 0 and (w.begun_at = 0 or w.generation >= $1))))
order by b.id limit $3

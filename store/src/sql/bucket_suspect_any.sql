-- bucket_suspect_any.sql: a bucket that no walk has been over since $1, a generation of the queue's servers
select b.id from buckets b where b.state = 'active' and b.generation < $1 and not exists (
    select 1 from walks w where w.bucket = b.id and w.state = 'done' and w.kind <> 'backfill' and w.generation >= $1)
limit 1

-- queue_server_proves.sql: whether what this server does not know of a bucket is proof: it is trusted, or all of the
-- bucket's keys have been walked over since it was seen first, by more than a backfill, which sees no key that was deleted. $1 run id, $2 bucket
select 1 as proves from queue_servers s where s.run_id = $1 and (s.trusted = 1
    or exists (select 1 from buckets b where b.id = $2 and b.generation >= s.generation)
    or exists (select 1 from walks w where w.bucket = $2 and w.state = 'done' and w.kind <> 'backfill' and w.generation >= s.generation))

-- buckets_walked.sql: adopted buckets all of whose keys were walked over meanwhile; $1 at most
select id from buckets where unwalked = 1 and state = 'active'
    and exists (select 1 from walks w where w.bucket = buckets.id and w.kind = 'backfill' and w.state = 'done')
order by id limit $1

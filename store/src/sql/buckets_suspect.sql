-- buckets_suspect.sql: buckets that no walk has been over since $1, a generation of the queue's servers, and whether one is
-- about to be; those without one first. $2 most
select b.id, case when exists (
    select 1 from walks w where w.bucket = b.id and w.finished_at = 0 and (w.begun_at = 0 or w.generation >= $1)
) then 1 else 0 end as is_asked
from buckets b where b.state = 'active' and b.generation < $1 and not exists (
    select 1 from walks w where w.bucket = b.id and w.state = 'done' and w.generation >= $1)
order by is_asked, b.id limit $2

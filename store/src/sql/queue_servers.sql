-- queue_servers.sql: the newest generation; the newest one of a server that is not trusted, as far as all have settled; whether any is
-- not trusted, settled or not; whether any may be noted as settled. 0 where there is none. Whether there is a bucket. $1 now
select coalesce(max(generation), 0) as newest,
    coalesce(max(case when trusted = 0 and generation < coalesce(
        (select min(u.generation) from queue_servers u where u.settled = 0), generation + 1
    ) then generation else 0 end), 0) as suspect,
    coalesce(max(1 - trusted), 0) as is_any_suspect,
    coalesce(max(case when settled = 0 and settled_at <= $1 then 1 else 0 end), 0) as is_any_due,
    case when exists (select 1 from buckets) then 1 else 0 end as has_buckets
from queue_servers

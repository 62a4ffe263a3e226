-- queue_servers.sql: the newest generation, and the newest of a server that is not trusted; 0 where there is none. Whether there is
-- a bucket
select coalesce(max(generation), 0) as newest,
    coalesce(max(case when trusted = 0 then generation else 0 end), 0) as suspect,
    case when exists (select 1 from buckets) then 1 else 0 end as has_buckets
from queue_servers

-- queue_servers.sql: the newest generation, and the newest of a server that is not trusted; 0 where there is none
select coalesce(max(generation), 0) as newest,
    coalesce(max(case when trusted = 0 then generation else 0 end), 0) as suspect
from queue_servers

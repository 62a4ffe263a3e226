-- queue_depth.sql: figures.
select count(*) as dirty,
    count(case when state = 'claimed' then 1 end) as claimed,
    count(case when state = 'delayed' then 1 end) as delayed,
    count(case when state = 'dead' then 1 end) as dead,
    min(dirty_since) as oldest
from dirty_keys

-- walks_under_way.sql: walks of a kind that go on or are about to, and those that wait for a backend. These keep no
-- other waiting, nor do those that wait for an operator. $1 kind
select cast(coalesce(sum(case when attempts = 0 then 1 else 0 end), 0) as bigint) as n,
    cast(coalesce(sum(case when attempts > 0 then 1 else 0 end), 0) as bigint) as stuck
from walks where finished_at = 0 and kind = $1 and state in ('waiting', 'running')

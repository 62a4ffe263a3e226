-- walks_under_way.sql: walks of a kind that go on or are about to, and those that wait for a backend. These keep no
-- other waiting, nor do those that wait for an operator, or for a walk of their bucket that does. $1 kind
select cast(coalesce(sum(case when w.attempts = 0 then 1 else 0 end), 0) as bigint) as n,
    cast(coalesce(sum(case when w.attempts > 0 then 1 else 0 end), 0) as bigint) as stuck
from walks w where w.finished_at = 0 and w.kind = $1 and w.state in ('waiting', 'running') and not (w.begun_at = 0 and exists (
    select 1 from walks o where o.bucket = w.bucket and o.kind = w.kind and o.begun_at > 0 and o.finished_at = 0))

-- walks_under_way.sql: walks of a kind that go on or are about to. One that waits for a backend or an operator is none: it keeps no
-- other waiting. $1 kind
select count(*) as n from walks where finished_at = 0 and kind = $1 and state in ('waiting', 'running') and attempts = 0

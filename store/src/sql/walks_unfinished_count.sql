-- walks_unfinished_count.sql: $1 kind
select count(*) as n from walks where finished_at = 0 and kind = $1

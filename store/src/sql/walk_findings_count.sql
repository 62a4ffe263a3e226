-- walk_findings_count.sql: $1 walk
select count(*) as n from walk_findings where walk = $1

-- walk_findings.sql: $1 walk
select kind, object_key, backend, detail, found_at from walk_findings where walk = $1 order by position

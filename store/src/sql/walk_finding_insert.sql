-- walk_finding_insert.sql: $1 walk, $2 position, $3 kind, $4 key, $5 backend, $6 detail, $7 now
insert into walk_findings (walk, position, kind, object_key, backend, detail, found_at) values ($1, $2, $3, $4, $5, $6, $7)

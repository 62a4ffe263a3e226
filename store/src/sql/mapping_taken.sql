-- mapping_taken.sql: whether a physical name is in use on a backend, be it that a migration fills or has just left it.
-- $1 backend, $2 physical name, $3 the backend's twin
select bucket from bucket_backends where backend = $1 and physical = $2
union all select bucket from bucket_migrations where ended_at = 0
    and ((source = $1 and source_physical = $2) or (target in ($1, $3) and target_physical = $2))

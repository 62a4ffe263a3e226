-- retirement_begin.sql: $1 backend, $2 now
insert into backend_retirements (backend, begun_at) values ($1, $2) on conflict (backend) do nothing

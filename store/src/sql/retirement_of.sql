-- retirement_of.sql: whether a backend is being retired. $1 backend
select begun_at from backend_retirements where backend = $1

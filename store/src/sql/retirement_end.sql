-- retirement_end.sql: $1 backend
delete from backend_retirements where backend = $1

-- queue_now.sqlite.sql: the database's clock. Own text: PostgreSQL has no unixepoch().
select cast(round(unixepoch('subsec') * 1000) as integer) as now

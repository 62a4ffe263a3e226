-- queue_now.postgres.sql: the database's clock, which all processes share. Own text: SQLite has no clock_timestamp().
select cast(extract(epoch from clock_timestamp()) * 1000 as bigint) as now

-- queue_servers_settle.sql: $1 a time until which nothing has landed that only earlier servers knew of
update queue_servers set settled = 1 where settled = 0 and settled_at <= $1

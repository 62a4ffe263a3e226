-- queue_servers_trust.sql: $1 the newest generation because of which no bucket is suspect
update queue_servers set trusted = 1 where generation <= $1 and trusted = 0

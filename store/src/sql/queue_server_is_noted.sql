-- queue_server_is_noted.sql: $1 run id
select 1 as noted from queue_servers where run_id = $1

-- queue_server_insert.sql: $1 run id, $2 generation, $3 whether it is trusted, $4 now
insert into queue_servers (run_id, generation, trusted, seen_at) values ($1, $2, $3, $4) on conflict do nothing

-- queue_server_insert.sql: $1 run id, $2 generation, $3 whether it is trusted, $4 now, $5 when it may have settled at the earliest, for the
-- sake of workers; proxies have noted what is due to their writes
insert into queue_servers (run_id, generation, trusted, seen_at, settled_at, settled) values ($1, $2, $3, $4,
    (select case when w.until > $5 then w.until else $5 end
        from (select $4 + coalesce(max(write_lease), 0) as until from viewers) w), $3)
on conflict do nothing

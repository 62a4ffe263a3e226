-- walk_begin.sql: from here on it shares with nobody. What a server that has not settled may have forgotten, it may miss.
-- $1 walk, $2 the claim, $3 now, $4 keys known, $5 epoch, $6 rate of a backfill that has none
update walks set state = 'running', note = '', begun_at = $3, total = $4, epoch = $5,
    rate = case when kind = 'backfill' and rate = 0 then $6 else rate end,
    generation = coalesce((select min(generation) - 1 from queue_servers where settled = 0),
        (select max(generation) from queue_servers), 0)
where id = $1 and state = 'waiting' and begun_at = 0 and due_at = $2

-- walk_hasten.sql: shares the walk that waits to begin, and makes it as fast as the hastiest of those who share it. It cannot
-- begin before the caller's transaction has ended. $1 bucket, $2 kind, $3 keys a second, 0 for no bound
update walks set rate = case when rate = 0 or $3 = 0 then 0 when rate < $3 then $3 else rate end
where bucket = $1 and kind = $2 and begun_at = 0 and finished_at = 0 returning id

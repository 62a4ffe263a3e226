-- walks_finish.sql: ends the walks of which nothing is left to walk. $1 now
update walks set state = 'done', note = '', finished_at = $1 where state = 'running' and finished_at = 0
    and not exists (select 1 from walk_shards s where s.walk = walks.id and s.finished = 0)

-- stranded_move.sql: what stayed behind is to be had at another place. $1 id, $2 that place
update stranded_keys set home = $2, kept_on = '', kept_in = '', etag = '', size = 0 where id = $1 and state = 'open' and merging = 0

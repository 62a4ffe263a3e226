-- stranded_bring.sql: a worker is about to change the key at its home, in a bucket that keeps no versions: nobody is to write it meanwhile.
-- $1 id, $2 the old home, $3 the worker's lease, $4 1 where such a note was seen, $5 whose
update stranded_keys set merging = 1, since = $3
where id = $1 and home = $2 and state = 'open' and merging = $4 and (merging = 0 or since = $5)

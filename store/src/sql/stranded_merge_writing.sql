-- stranded_merge_writing.sql: from now on a worker writes. $1 id, $2 the versions of the former home, $3 those written since
update stranded_keys set merging = 2, former = $2, since = $3 where id = $1 and merging = 1

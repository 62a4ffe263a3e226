-- stranded_merge_above.sql: from now on what stands above a version may be a worker's. $1 id, $2 the newest version, $3 those of the former home
update stranded_keys set merging = 2, above = $2, former = $3 where id = $1 and merging = 1

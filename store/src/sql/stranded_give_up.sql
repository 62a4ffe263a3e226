-- stranded_give_up.sql: the former home is not waited for by what has begun to come home. $1 id
update stranded_keys set merging = 3 where id = $1 and merging = 2

-- stranded_drop.sql: unless a merge of it is to be ended by a worker. $1 id, $2 1: by that one
delete from stranded_keys where id = $1 and (merging < 2 or $2 = 1)

-- stranded_merge.sql: its versions are about to be put in order; nobody is to read or write it meanwhile. $1 id
update stranded_keys set state = 'open', merging = 1 where id = $1 and state <> 'kept' and merging = 0

-- stranded_end.sql: both sides are equal, where the row is as it was seen. $1 id, $2 old home, $3 state, $4 merging, $5 what it notes with 1
delete from stranded_keys where id = $1 and home = $2 and state = $3 and merging = $4 and (merging <> 1 or since = $5)

-- stranded_keep.sql: what has lost stands aside now, where the row is as it was seen. $1 id, $2 old home, $3 state, $4 merging, $5 what it
-- notes with 1, $6 backend, $7 physical bucket, $8 ETag, $9 bytes
update stranded_keys set state = 'kept', merging = 0, kept_on = $6, kept_in = $7, etag = $8, size = $9
where id = $1 and home = $2 and state = $3 and merging = $4 and (merging <> 1 or since = $5)

-- stranded_bring_end.sql: nothing is sent to the home under these leases any more. $1 id, $2 and $3 leases
update stranded_keys set merging = 0, since = '[]' where id = $1 and merging = 1 and since in ($2, $3)

-- master_key_rewrap.sql: $1 proof
update master_key set proof = $1 where id = 1

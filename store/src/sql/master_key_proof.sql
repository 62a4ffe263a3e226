-- master_key_proof.sql: what only the right master key opens
select proof from master_key where id = 1

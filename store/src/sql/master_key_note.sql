-- master_key_note.sql: the first key to be noted stays. $1 proof
insert into master_key (id, proof) values (1, $1) on conflict do nothing

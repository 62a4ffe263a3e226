-- migration_rename.sql: another name for the new home, which is not filled yet. $1 id, $2 the turn, $3 physical name, $4 its n
update bucket_migrations set target_physical = $3, target_n = $4
where id = $1 and turn = $2 and state = 'filling' and walk = ''

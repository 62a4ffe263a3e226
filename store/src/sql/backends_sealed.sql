-- backends_sealed.sql: secrets as they are sealed
select id, secret_key from backends order by id

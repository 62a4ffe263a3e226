-- access_keys_sealed.sql: secrets as they are sealed, by id. $1 id to start after, $2 limit
select id, secret from access_keys where id > $1 order by id limit $2

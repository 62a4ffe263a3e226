-- backend_insert.sql: adds a backend at the end. No row: there is one of that id.
-- $1 id, $2 place, $3 endpoint, $4 region, $5 access key, $6 sealed secret key, $7 capabilities
insert into backends (id, place, endpoint, region, access_key, secret_key, capabilities, position)
values ($1, $2, $3, $4, $5, $6, $7, (select coalesce(max(position), 0) + 1 from backends))
on conflict (id) do nothing

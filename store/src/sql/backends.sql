-- backends.sql: all backends in order of creation, secrets sealed.
select id, place, endpoint, region, access_key, secret_key, capabilities, position from backends order by position

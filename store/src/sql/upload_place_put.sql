-- upload_place_put.sql: $1 bucket, $2 the home's upload id, $3 backend, $4 its own upload id, $5 key, $6 home, $7 now
insert into upload_places (bucket, upload_id, backend, place_upload_id, object_key, home, looked_at)
values ($1, $2, $3, $4, $5, $6, $7)

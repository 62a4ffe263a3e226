-- upload_put.sql: $1 bucket, $2 upload id, $3 key, $4 when it began
insert into uploads (bucket, upload_id, object_key, initiated_at) values ($1, $2, $3, $4)
on conflict (bucket, upload_id) do update set object_key = excluded.object_key, initiated_at = excluded.initiated_at

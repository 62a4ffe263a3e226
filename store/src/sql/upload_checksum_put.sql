-- upload_checksum_put.sql: $1 bucket, $2 upload id, $3 algorithm, $4 kind
insert into upload_checksums (bucket, upload_id, algorithm, kind) values ($1, $2, $3, $4)
on conflict (bucket, upload_id) do update set algorithm = excluded.algorithm, kind = excluded.kind

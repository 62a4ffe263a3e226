-- upload_part_put.sql: $1 bucket, $2 upload id, $3 part number, $4 ETag, $5 size, $6 value of its checksum
insert into upload_parts (bucket, upload_id, part_number, etag, size, value) values ($1, $2, $3, $4, $5, $6)
on conflict (bucket, upload_id, part_number) do update set etag = excluded.etag, size = excluded.size,
    value = excluded.value

-- retagged_note.sql: $1 bucket, $2 key, $3 version, $4 now
insert into retagged_versions (bucket, object_key, version, noted_at) values ($1, $2, $3, $4)
on conflict (bucket, object_key, version) do update set noted_at = excluded.noted_at

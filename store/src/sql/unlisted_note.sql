-- unlisted_note.sql: $1 bucket, $2 key, $3 now
insert into unlisted_writes (bucket, object_key, noted_at) values ($1, $2, $3)
on conflict (bucket, object_key) do update set noted_at = excluded.noted_at

-- copy_note_pending.sql: notes a copy that is about to be begun, where nothing is known of one. $1 bucket, $2 key, $3 backend
insert into object_copies (bucket, object_key, backend, etag, home_etag, size, verified_how, verified_at)
values ($1, $2, $3, '', '', 0, 'pending', 0)
on conflict (bucket, object_key, backend) do nothing

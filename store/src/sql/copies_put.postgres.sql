-- copies_put.postgres.sql: Own text: each database reads JSON its own way.
-- $1 rows as JSON, keys in hex. A suspect copy stays suspect: who looks at it without reading it cannot tell.
insert into object_copies (bucket, object_key, backend, etag, home_etag, size, verified_how, verified_at)
select bucket, decode(object_key, 'hex'), backend, etag, home_etag, size, verified_how, verified_at
from jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as given(
    bucket text, object_key text, backend text, etag text, home_etag text, size bigint, verified_how text,
    verified_at bigint)
on conflict (bucket, object_key, backend) do update set
    etag = excluded.etag, home_etag = excluded.home_etag, size = excluded.size,
    verified_how = case when object_copies.verified_how = 'suspect' then 'suspect' else excluded.verified_how end,
    verified_at = case when object_copies.verified_how = 'suspect' then 0 else excluded.verified_at end

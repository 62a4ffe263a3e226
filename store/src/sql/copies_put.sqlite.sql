-- copies_put.sqlite.sql: Own text: each database reads JSON its own way.
-- $1 rows as JSON, keys in hex. A suspect copy stays suspect: who looks at it without reading it cannot tell.
insert into object_copies (bucket, object_key, backend, etag, home_etag, size, verified_how, verified_at)
select value ->> 'bucket', unhex(value ->> 'object_key'), value ->> 'backend', value ->> 'etag', value ->> 'home_etag',
    value ->> 'size', value ->> 'verified_how', value ->> 'verified_at'
from json_each($1) where true
on conflict (bucket, object_key, backend) do update set
    etag = excluded.etag, home_etag = excluded.home_etag, size = excluded.size,
    verified_how = case when object_copies.verified_how = 'suspect' then 'suspect' else excluded.verified_how end,
    verified_at = case when object_copies.verified_how = 'suspect' then 0 else excluded.verified_at end

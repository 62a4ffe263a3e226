-- copies_put.sqlite.sql: Own text: each database reads JSON its own way.
-- $1 rows as JSON, keys in hex
insert into object_copies (bucket, object_key, backend, etag, home_etag, size, verified_how, verified_at)
select value ->> 'bucket', unhex(value ->> 'object_key'), value ->> 'backend', value ->> 'etag', value ->> 'home_etag',
    value ->> 'size', value ->> 'verified_how', value ->> 'verified_at'
from json_each($1) where true
on conflict (bucket, object_key, backend) do update set
    etag = excluded.etag, home_etag = excluded.home_etag, size = excluded.size,
    verified_how = excluded.verified_how, verified_at = excluded.verified_at

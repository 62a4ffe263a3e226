-- promotion_keys_note.sqlite.sql: notes keys whose bucket is being promoted as planned, where these copies are its home's. Own text: each
-- database reads JSON its own way.
-- $1 copies as JSON, keys in hex
insert into promotion_keys (bucket, object_key, noted)
select p.bucket, unhex(given.value ->> 'object_key'), 1
from json_each($1) as given
join promotions p on p.bucket = given.value ->> 'bucket' and p.source = given.value ->> 'backend' and p.forced = 0
    and p.state not in ('done', 'failed')
where true
on conflict (bucket, object_key) do update set noted = promotion_keys.noted + 1

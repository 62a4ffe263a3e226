-- promotion_keys_note.postgres.sql: notes keys whose bucket is being promoted as planned, where these copies are its home's. Own text: each
-- database reads JSON its own way.
-- $1 copies as JSON, keys in hex
insert into promotion_keys (bucket, object_key, noted)
select p.bucket, decode(given.object_key, 'hex'), 1
from jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as given(bucket text, object_key text, backend text)
join promotions p on p.bucket = given.bucket and p.source = given.backend and p.forced = 0 and p.state not in ('done', 'failed')
order by 1, 2
on conflict (bucket, object_key) do update set noted = promotion_keys.noted + 1

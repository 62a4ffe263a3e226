-- copies_leave_others.postgres.sql: what a former home had of these keys, on all backends but those given, stays known, for whoever
-- empties it; it is no copy any more. Own text: each database reads JSON its own way.
-- $1 keys and $2 the copies that stay, as JSON, keys in hex
update object_copies set verified_how = 'left', verified_at = 0
from bucket_migrations g, jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as of_key(bucket text, object_key text)
where g.ended_at = 0 and g.moved_at > 0 and g.bucket = of_key.bucket
    and object_copies.bucket = of_key.bucket and object_copies.object_key = decode(of_key.object_key, 'hex')
    and object_copies.backend = g.former
    and not exists (
        select 1 from jsonb_to_recordset(cast(cast($2 as text) as jsonb)) as given(bucket text, object_key text, backend text)
        where given.bucket = of_key.bucket and given.object_key = of_key.object_key and given.backend = g.former)

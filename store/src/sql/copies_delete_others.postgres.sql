-- copies_delete_others.postgres.sql: forgets copies of these keys on all backends but those given. Own text: each database reads JSON its own way.
-- $1 keys and $2 the copies that stay, as JSON, keys in hex
delete from object_copies using jsonb_to_recordset(cast(cast($1 as text) as jsonb)) as of_key(bucket text, object_key text)
where object_copies.bucket = of_key.bucket and object_copies.object_key = decode(of_key.object_key, 'hex')
    and object_copies.verified_how <> 'left'
    and not exists (
        select 1 from jsonb_to_recordset(cast(cast($2 as text) as jsonb)) as given(bucket text, object_key text, backend text)
        where given.bucket = of_key.bucket and given.object_key = of_key.object_key
            and given.backend = object_copies.backend)

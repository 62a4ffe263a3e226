-- copies_delete_others.sqlite.sql: forgets copies of these keys on all backends but those given. Own text: each database reads JSON its own way.
-- $1 keys and $2 the copies that stay, as JSON, keys in hex
delete from object_copies
where (bucket, object_key) in (select value ->> 'bucket', unhex(value ->> 'object_key') from json_each($1))
    and verified_how <> 'left'
    and (bucket, object_key, backend) not in (
        select value ->> 'bucket', unhex(value ->> 'object_key'), value ->> 'backend' from json_each($2))

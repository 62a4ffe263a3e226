-- copies_leave_others.sqlite.sql: what a former home had of these keys, on all backends but those given, stays known, for whoever
-- empties it; it is no copy any more. Own text: each database reads JSON its own way.
-- $1 keys and $2 the copies that stay, as JSON, keys in hex
update object_copies set verified_how = 'left', verified_at = 0
where (bucket, object_key) in (select value ->> 'bucket', unhex(value ->> 'object_key') from json_each($1))
    and (bucket, backend) in (select bucket, former from bucket_migrations where ended_at = 0 and moved_at > 0)
    and (bucket, object_key, backend) not in (
        select value ->> 'bucket', unhex(value ->> 'object_key'), value ->> 'backend' from json_each($2))

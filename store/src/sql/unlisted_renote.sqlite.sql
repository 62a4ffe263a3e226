-- unlisted_renote.sqlite.sql: Own text: each database reads JSON its own way. $1 bucket and key of each, as JSON, keys in hex, $2 now
update unlisted_writes set noted_at = $2
where (bucket, object_key) in (select value ->> 'bucket', unhex(value ->> 'object_key') from json_each($1))

-- copies_of_all.sqlite.sql: Own text: each database reads JSON its own way.
-- $1 bucket and key of each wanted, as JSON, keys in hex
select c.bucket, c.object_key, c.backend, c.etag, c.home_etag, c.size, c.verified_how, c.verified_at
from json_each($1) as wanted
join object_copies c on c.bucket = wanted.value ->> 'bucket' and c.object_key = unhex(wanted.value ->> 'object_key')
    and c.verified_how <> 'left'
order by c.bucket, c.object_key, c.backend

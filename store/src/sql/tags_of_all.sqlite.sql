-- tags_of_all.sqlite.sql: Own text: each database reads JSON its own way.
-- $1 bucket and key of each wanted, as JSON, keys in hex
select t.bucket, t.object_key, t.etag, t.tags
from json_each($1) as wanted
join object_tags t on t.bucket = wanted.value ->> 'bucket' and t.object_key = unhex(wanted.value ->> 'object_key')

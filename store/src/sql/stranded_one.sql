-- stranded_one.sql: $1 id
select id, bucket, object_key, home, epoch, state, stranded_at, kept_on, kept_in, etag, size, newest, merging, former, since
from stranded_keys where id = $1

-- stranded_of_key.sql: not compared yet, the oldest first. $1 bucket, $2 key
select id, bucket, object_key, home, epoch, state, stranded_at, kept_on, kept_in, etag, size, newest, merging, former, since
from stranded_keys where bucket = $1 and object_key = $2 and state <> 'kept' order by epoch

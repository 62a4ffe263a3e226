-- stranded_of_bucket.sql: by id, which is by time. $1 bucket, $2 id to start after, $3 limit
select id, bucket, object_key, home, epoch, state, stranded_at, kept_on, kept_in, etag, size, newest, merging, former, since
from stranded_keys where bucket = $1 and id > $2 order by id limit $3

-- copy_leave.sql: what a former home had of a key stays known, for whoever empties it; it is no copy any more.
-- $1 bucket, $2 key, $3 backend
update object_copies set verified_how = 'left', verified_at = 0
where bucket = $1 and object_key = $2 and backend = $3
    and exists (select 1 from bucket_migrations g where g.bucket = $1 and g.ended_at = 0 and g.moved_at > 0 and g.former = $3)

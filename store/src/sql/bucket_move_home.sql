-- bucket_move_home.sql: raises the epoch; only while no client's write is taken. $1 bucket, $2 epoch, $3 new home
update buckets set home = $3, epoch = epoch + 1, writes = 'stopped',
    moved_versions = case when versioning = '' then moved_versions else 1 end
where id = $1 and epoch = $2 and state = 'active' and writes <> 'taken'

-- bucket_move_home.sql: raises the epoch; only while no client's write is taken. By force a bucket keeps all versions from here on: what stayed
-- behind can only be put among those. $1 bucket, $2 epoch, $3 new home, $4 forced
update buckets set home = $3, epoch = epoch + 1, writes = 'stopped',
    moved_versions = case when versioning = '' then moved_versions else 1 end,
    versioning = case when $4 = 1 and versioning = 'Suspended' then 'Enabled' else versioning end
where id = $1 and epoch = $2 and state = 'active' and writes <> 'taken'

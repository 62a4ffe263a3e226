-- Of a bucket that keeps versions. newest: the newest version that the new home had of the key when it was stranded, by that one's own id; empty
-- where it had none: what stands above it there was written since. merging: 1 once a worker has begun to put what stayed behind below that;
-- no client writes the key until it is done. above: the newest version when it began.
alter table stranded_keys add column newest text not null default '';
alter table stranded_keys add column merging bigint not null default 0 check (merging in (0, 1));
alter table stranded_keys add column above text not null default '';

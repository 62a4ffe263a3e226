-- Of a bucket that keeps versions. newest: the newest version that the new home had of the key when it was stranded, by that one's own id; empty
-- where it had none: what stands above it there was written since. merging: 1 once a worker has begun to put what stayed behind below that, and
-- no client writes the key until it is done; 2 once it may have written something; 3 once the rest was given up. From 2 on, in JSON, by the ids
-- that clients know: former, what the former home holds, and since, what was written since.
alter table stranded_keys add column newest text not null default '';
alter table stranded_keys add column merging bigint not null default 0 check (merging in (0, 1, 2, 3));
alter table stranded_keys add column former text not null default '[]';
alter table stranded_keys add column since text not null default '[]';
-- A key that is stranded at the former home and that this was seen to hold: it has not come back empty.
alter table promotions add column witness blob not null default x'';

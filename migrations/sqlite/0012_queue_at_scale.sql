-- Large objects queue apart: lane 1 is what a worker has set aside.
alter table dirty_keys add column lane bigint not null default 0 check (lane in (0, 1));
drop index dirty_keys_due;
create index dirty_keys_due on dirty_keys (lane, due_at) where state <> 'dead';

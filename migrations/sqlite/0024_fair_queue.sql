-- flow: which of sixteen turns at a claim a key shares with others, by its bucket's tenant.
alter table dirty_keys add column flow bigint not null default 0 check (flow between 0 and 15);
drop index dirty_keys_due;
create index dirty_keys_due on dirty_keys (lane, flow, due_at) where state <> 'dead';

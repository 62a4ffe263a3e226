-- How many places, the home included, must hold a write before it is acknowledged; 1: the home alone.
alter table buckets add column write_quorum bigint not null default 1 check (write_quorum >= 1);

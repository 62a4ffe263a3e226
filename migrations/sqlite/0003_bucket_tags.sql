-- A bucket's own tags, as JSON pairs of key and value; gone with its row.
alter table buckets add column tags text not null default '[]';

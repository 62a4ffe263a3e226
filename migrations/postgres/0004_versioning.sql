-- Whether a bucket's home keeps versions, as S3 names it; empty: it was never told to.
alter table buckets add column versioning text not null default '' check (versioning in ('', 'Enabled', 'Suspended'));

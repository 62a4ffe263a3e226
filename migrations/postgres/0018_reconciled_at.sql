-- When a reconcile of the bucket was asked for last; before the first, when the bucket was made.
alter table buckets add column reconciled_at bigint not null default 0;
update buckets set reconciled_at = coalesce(
    (select max(w.created_at) from walks w where w.bucket = buckets.id and w.kind in ('reconcile', 'deep')),
    created_at);
create index buckets_by_reconcile on buckets (reconciled_at, id) where state = 'active';

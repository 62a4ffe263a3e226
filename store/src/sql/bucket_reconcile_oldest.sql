-- bucket_reconcile_oldest.sql: when a walk over the bucket in service was asked for that has waited longest; no row
-- without one.
select reconciled_at from buckets where state = 'active' order by reconciled_at, id limit 1

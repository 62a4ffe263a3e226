-- buckets_to_reconcile.sql: buckets in service that nothing has walked since $1, first those that have waited longest.
-- $2 most
select id from buckets where state = 'active' and reconciled_at < $1 order by reconciled_at, id limit $2

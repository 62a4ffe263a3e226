-- buckets_to_reconcile.sql: buckets in service that nothing has walked since $1, first those that have waited longest.
-- $2 most
select id from (
    select b.id, coalesce(
        (select max(w.created_at) from walks w where w.bucket = b.id and w.kind in ('reconcile', 'deep')), b.created_at
    ) as walked_at
    from buckets b where b.state = 'active'
) as seen where walked_at < $1 order by walked_at, id limit $2

-- buckets_self_promoting.sql: those in service whose replicas may be promoted without an operator, and no promotion runs.
select b.id, b.promote_after from buckets b where b.promote_after > 0 and b.state = 'active'
    and not exists (select 1 from promotions p where p.bucket = b.id and p.state not in ('done', 'failed')) order by b.id

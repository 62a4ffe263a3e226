-- mappings_retiring.sql: what is left of deleted buckets, $1 buckets at most, first those whose turn has come longest ago
select b.id, b.state_since, m.backend, m.physical
from buckets b join bucket_backends m on m.bucket = b.id
where b.id in (
    select r.id from buckets r
    where r.state = 'retired' and exists (select 1 from bucket_backends left_on where left_on.bucket = r.id)
    order by r.state_since, r.id limit $1)
order by b.state_since, b.id, m.position

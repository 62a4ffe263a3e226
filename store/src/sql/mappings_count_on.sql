-- mappings_count_on.sql: how many buckets have a backend as what; of those in role `aside` something of stranded keys is kept there. $1 backend
select case when b.home = m.backend then 'home' when m.state = 'active' then 'replica' else m.state end as role,
    count(*) as buckets
from bucket_backends m join buckets b on b.id = m.bucket where m.backend = $1
group by case when b.home = m.backend then 'home' when m.state = 'active' then 'replica' else m.state end
union all select 'aside', count(distinct bucket) from stranded_keys where kept_on = $1 and kept_on <> ''

-- mappings_count_on.sql: how many buckets have a backend as what. $1 backend
select case when b.home = m.backend then 'home' when m.state = 'active' then 'replica' else m.state end as role,
    count(*) as buckets
from bucket_backends m join buckets b on b.id = m.bucket where m.backend = $1
group by case when b.home = m.backend then 'home' when m.state = 'active' then 'replica' else m.state end

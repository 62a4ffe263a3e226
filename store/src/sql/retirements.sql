-- retirements.sql: backends that no new placement may use, and whether a bucket is still there
select r.backend, r.begun_at,
    case when exists (select 1 from bucket_backends m where m.backend = r.backend) then 1 else 0 end as mapped
from backend_retirements r order by r.backend

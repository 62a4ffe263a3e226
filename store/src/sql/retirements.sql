-- retirements.sql: backends that no new placement may use, and whether a bucket, or something of a stranded key, is still there
select r.backend, r.begun_at,
    case when exists (select 1 from bucket_backends m where m.backend = r.backend)
        or exists (select 1 from stranded_keys s where s.kept_on = r.backend and s.kept_on <> '') then 1 else 0 end as used
from backend_retirements r order by r.backend

-- sweep_begin.sql: from the first key, also where it has come far already. $1 bucket, $2 what, $3 backend or empty, $4 no key
insert into sweeps (bucket, what, backend, after) values ($1, $2, $3, $4)
on conflict (bucket, what, backend) do update set after = excluded.after

-- review_owe.sql: from the first bucket, also where it has come far already. $1 kind, $2 subject
insert into reviews_owed (kind, subject, after) values ($1, $2, '')
on conflict (kind, subject) do update set after = excluded.after

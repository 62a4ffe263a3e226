-- feed_append.sql: one change. $1 id, $2 kind, $3 subject (tenant or access key id), $4 bucket name, $5 now
insert into changes (id, kind, subject, name, made_at) values ($1, $2, $3, $4, $5)

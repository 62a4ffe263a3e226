-- unlisted_renote.sql: $1 bucket and $2 key behind which they begin, $3 bucket and $4 key of the last, $5 now
update unlisted_writes set noted_at = $5
where (bucket, object_key) > ($1, $2) and (bucket, object_key) <= ($3, $4)

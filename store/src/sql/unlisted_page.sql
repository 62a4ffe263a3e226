-- unlisted_page.sql: $1 bucket and $2 key behind which they begin, $3 most rows
select bucket, object_key from unlisted_writes where (bucket, object_key) > ($1, $2) order by bucket, object_key limit $3

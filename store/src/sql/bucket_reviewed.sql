-- bucket_reviewed.sql: $1 bucket, $2 the review_due that the caller saw, $3 the home that must be left, or empty
update buckets set leave_home = $3, review_due = case when review_due = $2 then 0 else review_due end where id = $1

-- bucket_postpone_review.sql: $1 bucket, $2 the review_due that the caller saw, $3 the new one
update buckets set review_due = $3 where id = $1 and review_due = $2

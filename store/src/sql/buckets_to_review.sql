-- buckets_to_review.sql: buckets whose placement has to be compared with policies and backends; $1 at most. One whose home had to
-- be left and was left has another replica to drain.
select id, review_due from buckets
where state = 'active' and (review_due > 0 or (leave_home <> '' and leave_home <> home)) order by review_due, id limit $1

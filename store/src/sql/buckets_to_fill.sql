-- buckets_to_fill.sql: buckets to which a walk is owed; $1 at most
select id, fill_due from buckets where state = 'active' and fill_due > 0 order by fill_due, id limit $1

-- drains_open_now.sql: those of buckets in service that are free at $1, $2 at most, the one free longest first
select d.* from drains d join buckets b on b.id = d.bucket
where d.ended_at = 0 and d.free_from <= $1 and b.state = 'active' order by d.free_from, d.id limit $2

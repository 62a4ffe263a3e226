-- viewers_behind.sql: proxies that may still take writes by a view that does not know a change: half of a lease more than
-- its length has not passed since they were seen, which covers the pause between two beats. $1 the change, $2 now
select id, seen_at from viewers where head < $1 and seen_at + lease + lease / 2 > $2 order by id

-- buckets_listed.sql: active buckets by the bytes of their names. $1 tenant, $2 prefix, $3 name to start after, $4 limit
select name, created_at, location from buckets
where tenant = $1 and state = 'active' and name > $3 and name >= $2 and substr(name, 1, length($2)) = $2
order by name limit $4

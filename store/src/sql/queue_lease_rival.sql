-- queue_lease_rival.sql: a live lease beside which another may not be taken, because one of the two begins with "!" and so
-- must be alone; one of what a worker has sent ("~") keeps nobody away. Under the lock of the key's row. $1 bucket, $2 key,
-- $3 the other's name, $4 now, $5 1 where that one must be alone, else 0
select lease from dirty_leases
where bucket = $1 and object_key = $2 and lease <> $3 and lease not like '~%' and expires_at > $4 and ($5 = 1 or lease like '!%')
limit 1

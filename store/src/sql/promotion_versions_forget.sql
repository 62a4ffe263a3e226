-- promotion_versions_forget.sql: forgets of a page of noted keys which versions the home has, where another backend has no copy. Where the
-- home has versions by ids of its own, workers keep these rows, and nothing else tells which is which.
-- $1 bucket, $2 home, $3 the other, $4 the key before the page, $5 its last
delete from version_copies where bucket = $1 and backend = $2
    and object_key in (select n.object_key from promotion_keys n where n.bucket = $1 and n.object_key > $4 and n.object_key <= $5)
    and exists (select 1 from buckets b where b.id = $1 and b.moved_versions = 0)
    and not exists (select 1 from version_copies t where t.bucket = version_copies.bucket
        and t.object_key = version_copies.object_key and t.backend = $3 and t.home_version = version_copies.home_version)

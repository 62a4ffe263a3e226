-- promotion_keys_unequal.sql: a noted key whose home copy has no copy with an equal ETag on another backend, or that has a version there
-- with another ETag. Each key is looked up: offset 0 keeps PostgreSQL from reading all copies instead.
-- $1 bucket, $2 home, $3 the other
select n.object_key from promotion_keys n
where n.bucket = $1 and (
    exists (select 1 from object_copies h where h.bucket = n.bucket and h.object_key = n.object_key and h.backend = $2
        and not exists (select 1 from object_copies t where t.bucket = h.bucket and t.object_key = h.object_key
            and t.backend = $3 and t.verified_at > 0 and t.etag = h.etag) limit 1 offset 0)
    or exists (select 1 from version_copies v where v.bucket = n.bucket and v.object_key = n.object_key
        and v.backend = $3 and v.etag <> v.home_etag limit 1 offset 0))
order by n.object_key limit 1

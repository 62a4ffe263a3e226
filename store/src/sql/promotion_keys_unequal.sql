-- promotion_keys_unequal.sql: a noted key whose home copy has no copy with an equal ETag on another backend.
-- $1 bucket, $2 home, $3 the other
select n.object_key from promotion_keys n
join object_copies h on h.bucket = n.bucket and h.object_key = n.object_key and h.backend = $2
where n.bucket = $1 and not exists (select 1 from object_copies t where t.bucket = h.bucket and t.object_key = h.object_key
    and t.backend = $3 and t.verified_at > 0 and t.etag = h.etag)
order by n.object_key limit 1

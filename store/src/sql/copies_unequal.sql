-- copies_unequal.sql: keys verified since a time whose home copy has no copy with an equal ETag on another backend.
-- $1 bucket, $2 home, $3 the other, $4 since, $5 limit
select h.object_key from object_copies h where h.bucket = $1 and h.backend = $2 and h.verified_at >= $4
    and not exists (select 1 from object_copies t where t.bucket = h.bucket and t.object_key = h.object_key
        and t.backend = $3 and t.verified_at > 0 and t.etag = h.etag)
order by h.object_key limit $5

-- promotion_keys_settle.sql: forgets those of a page of noted keys that are at another backend as they are at home.
-- $1 bucket, $2 home, $3 the other, $4 the key before the page, $5 its last
delete from promotion_keys where bucket = $1 and (object_key, noted) in (
    select n.object_key, n.noted from promotion_keys n
    where n.bucket = $1 and n.object_key > $4 and n.object_key <= $5 and not exists (
        select 1 from object_copies h where h.bucket = n.bucket and h.object_key = n.object_key and h.backend = $2
            and not exists (select 1 from object_copies t where t.bucket = h.bucket and t.object_key = h.object_key
                and t.backend = $3 and t.verified_at > 0 and t.etag = h.etag))
        and not exists (select 1 from version_copies v where v.bucket = n.bucket and v.object_key = n.object_key
            and v.backend = $3 and v.etag <> v.home_etag))

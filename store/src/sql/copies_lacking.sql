-- copies_lacking.sql: of a page of keys those whose home copy has no verified equal on another backend.
-- $1 bucket, $2 home, $3 the other, $4 the key before the page, $5 its last
select h.object_key from object_copies h where h.bucket = $1 and h.backend = $2 and h.object_key > $4 and h.object_key <= $5
    and not exists (select 1 from object_copies t where t.bucket = h.bucket and t.object_key = h.object_key
        and t.backend = $3 and t.verified_at > 0 and t.home_etag = h.home_etag)
order by h.object_key

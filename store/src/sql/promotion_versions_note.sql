-- promotion_versions_note.sql: as version_copies_of_home.sql, of a page of noted keys. $1 bucket, $2 home, $3 the backend, $4 the key before the page,
-- $5 its last
insert into version_copies (bucket, object_key, backend, home_version, version, position, is_marker, etag, home_etag, size,
    home_modified, verified_how, verified_at)
select bucket, object_key, cast($2 as text), home_version, home_version, position, is_marker, home_etag, etag, size,
    home_modified, 'etag', verified_at
from version_copies where bucket = $1 and backend = $3 and verified_how not in ('gone', 'replaced')
    and object_key in (select n.object_key from promotion_keys n where n.bucket = $1 and n.object_key > $4 and n.object_key <= $5)
on conflict (bucket, object_key, backend, home_version) do update set position = excluded.position,
    is_marker = case when version_copies.version = excluded.version then excluded.is_marker else version_copies.is_marker end,
    etag = case when version_copies.version = excluded.version then excluded.etag else version_copies.etag end,
    home_etag = case when version_copies.version = excluded.version then excluded.home_etag else version_copies.home_etag end,
    size = case when version_copies.version = excluded.version then excluded.size else version_copies.size end,
    home_modified = case when version_copies.version = excluded.version then excluded.home_modified else version_copies.home_modified end

-- version_copies_of_home.sql: notes of a page of keys which versions the home has, by the copies of them on a backend: under the ids that
-- it has given them, unless it is known by which; in the order of the copies, which is the home's. A `null` one may be another than was noted.
-- $1 bucket, $2 home, $3 the backend, $4 the key before the page, $5 its last
insert into version_copies (bucket, object_key, backend, home_version, version, position, is_marker, etag, home_etag, size,
    home_modified, verified_how, verified_at)
select bucket, object_key, cast($2 as text), home_version, home_version, position, is_marker, home_etag, etag, size,
    home_modified, 'etag', verified_at
from version_copies where bucket = $1 and backend = $3 and object_key > $4 and object_key <= $5 and verified_how not in ('gone', 'replaced')
on conflict (bucket, object_key, backend, home_version) do update set position = excluded.position,
    is_marker = case when version_copies.version = excluded.version then excluded.is_marker else version_copies.is_marker end,
    etag = case when version_copies.version = excluded.version then excluded.etag else version_copies.etag end,
    home_etag = case when version_copies.version = excluded.version then excluded.home_etag else version_copies.home_etag end,
    size = case when version_copies.version = excluded.version then excluded.size else version_copies.size end,
    home_modified = case when version_copies.version = excluded.version then excluded.home_modified else version_copies.home_modified end

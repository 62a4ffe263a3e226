-- version_copies_of_twin.sql: notes of a page of keys which versions a bucket has that is to take the home's place on its backend: what is recorded
-- under the twin's id, word for word. $1 bucket, $2 home, $3 its twin, $4 the key before the page, $5 its last
insert into version_copies (bucket, object_key, backend, home_version, version, position, is_marker, etag, home_etag, size,
    home_modified, verified_how, verified_at)
select bucket, object_key, cast($2 as text), home_version, version, position, is_marker, etag, home_etag, size,
    home_modified, verified_how, verified_at
from version_copies where bucket = $1 and backend = $3 and object_key > $4 and object_key <= $5
on conflict (bucket, object_key, backend, home_version) do update set
    version = excluded.version, position = excluded.position, is_marker = excluded.is_marker, etag = excluded.etag,
    home_etag = excluded.home_etag, size = excluded.size, home_modified = excluded.home_modified,
    verified_how = excluded.verified_how, verified_at = excluded.verified_at

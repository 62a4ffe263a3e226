-- version_copy_put.sql: $1 bucket, $2 key, $3 backend, $4 the home's version, $5 the backend's, $6 position, $7 is marker,
-- $8 ETag, $9 home's ETag, $10 size, $11 modified at home, $12 how and $13 when verified.
-- A suspect version stays suspect until another one is in its place.
insert into version_copies (bucket, object_key, backend, home_version, version, position, is_marker, etag, home_etag, size,
    home_modified, verified_how, verified_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (bucket, object_key, backend, home_version) do update set
    version = excluded.version, position = excluded.position, is_marker = excluded.is_marker, etag = excluded.etag,
    home_etag = excluded.home_etag, size = excluded.size, home_modified = excluded.home_modified,
    verified_how = case when version_copies.verified_how = 'suspect' and version_copies.version = excluded.version
            and excluded.verified_how not in ('gone', 'replaced')
        then 'suspect' else excluded.verified_how end,
    verified_at = excluded.verified_at

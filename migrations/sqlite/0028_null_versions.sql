-- Versions that a backend calls `null` and clients do not: where versioning is suspended, the next write would take one's place there.
create index version_copies_called_null on version_copies (bucket, backend) where version = 'null' and home_version <> 'null';

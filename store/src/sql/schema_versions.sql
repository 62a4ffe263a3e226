-- schema_versions.sql: migrations that have been applied in full.
select version, checksum from _sqlx_migrations where success order by version

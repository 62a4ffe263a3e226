//! Brings a database's schema to what this binary knows. A migration that has shipped is never edited.
use super::db::{Columns, Db, Kind};
use crate::{StoreError, sql};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlSafeStr};

/// Version, description, text. One row for each file in `migrations/`; the tests compare.
type Files = [(i64, &'static str, &'static str)];

const POSTGRES: &Files = &[
    (1, "foundation", include_str!("../../../migrations/postgres/0001_foundation.sql")),
    (3, "bucket_tags", include_str!("../../../migrations/postgres/0003_bucket_tags.sql")),
    (4, "versioning", include_str!("../../../migrations/postgres/0004_versioning.sql")),
    (5, "checksums", include_str!("../../../migrations/postgres/0005_checksums.sql")),
    (6, "backend_probe", include_str!("../../../migrations/postgres/0006_backend_probe.sql")),
    (7, "version_copies", include_str!("../../../migrations/postgres/0007_version_copies.sql")),
    (8, "signature_v2", include_str!("../../../migrations/postgres/0008_signature_v2.sql")),
    (9, "walks", include_str!("../../../migrations/postgres/0009_walks.sql")),
    (10, "placement", include_str!("../../../migrations/postgres/0010_placement.sql")),
    (11, "promotion", include_str!("../../../migrations/postgres/0011_promotion.sql")),
    (12, "queue_at_scale", include_str!("../../../migrations/postgres/0012_queue_at_scale.sql")),
    (13, "write_quorum", include_str!("../../../migrations/postgres/0013_write_quorum.sql")),
    (14, "bucket_migrations", include_str!("../../../migrations/postgres/0014_bucket_migrations.sql")),
    (15, "queue_servers", include_str!("../../../migrations/postgres/0015_queue_servers.sql")),
    (16, "unlisted_writes", include_str!("../../../migrations/postgres/0016_unlisted_writes.sql")),
    (17, "stranded_by_bucket", include_str!("../../../migrations/postgres/0017_stranded_by_bucket.sql")),
    (18, "reconciled_at", include_str!("../../../migrations/postgres/0018_reconciled_at.sql")),
    (19, "pages", include_str!("../../../migrations/postgres/0019_pages.sql")),
];
const SQLITE: &Files = &[
    (1, "foundation", include_str!("../../../migrations/sqlite/0001_foundation.sql")),
    (3, "bucket_tags", include_str!("../../../migrations/sqlite/0003_bucket_tags.sql")),
    (4, "versioning", include_str!("../../../migrations/sqlite/0004_versioning.sql")),
    (5, "checksums", include_str!("../../../migrations/sqlite/0005_checksums.sql")),
    (6, "backend_probe", include_str!("../../../migrations/sqlite/0006_backend_probe.sql")),
    (7, "version_copies", include_str!("../../../migrations/sqlite/0007_version_copies.sql")),
    (8, "signature_v2", include_str!("../../../migrations/sqlite/0008_signature_v2.sql")),
    (9, "walks", include_str!("../../../migrations/sqlite/0009_walks.sql")),
    (10, "placement", include_str!("../../../migrations/sqlite/0010_placement.sql")),
    (11, "promotion", include_str!("../../../migrations/sqlite/0011_promotion.sql")),
    (12, "queue_at_scale", include_str!("../../../migrations/sqlite/0012_queue_at_scale.sql")),
    (13, "write_quorum", include_str!("../../../migrations/sqlite/0013_write_quorum.sql")),
    (14, "bucket_migrations", include_str!("../../../migrations/sqlite/0014_bucket_migrations.sql")),
    (15, "queue_servers", include_str!("../../../migrations/sqlite/0015_queue_servers.sql")),
    (16, "unlisted_writes", include_str!("../../../migrations/sqlite/0016_unlisted_writes.sql")),
    (17, "stranded_by_bucket", include_str!("../../../migrations/sqlite/0017_stranded_by_bucket.sql")),
    (18, "reconciled_at", include_str!("../../../migrations/sqlite/0018_reconciled_at.sql")),
    (19, "pages", include_str!("../../../migrations/sqlite/0019_pages.sql")),
];

pub(super) async fn migrate(db: &Db) -> Result<(), StoreError> {
    let migrator = migrator(db.kind());
    if db.is_in_memory() {
        let mut connection = db.pool().acquire().await?;
        return run(&migrator, &mut connection).await;
    }
    let mut connection = db.connect_alone().await?;
    run(&migrator, &mut connection).await
}

pub(super) async fn is_current(db: &Db) -> Result<bool, StoreError> {
    let applied = match db.read(sqlx::query(sql::SCHEMA_VERSIONS).fetch_all(db.pool())).await {
        Ok(rows) => rows,
        Err(error) if is_missing_table(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let applied: Vec<(i64, Vec<u8>)> = applied
        .iter()
        .map(|row| Ok((row.int("version")?, row.bytes("checksum")?)))
        .collect::<Result<_, StoreError>>()?;
    let known = migrator(db.kind());
    Ok(known.iter().map(|m| (m.version, m.checksum.as_ref())).eq(applied.iter().map(|(v, c)| (*v, c.as_slice()))))
}

fn migrator(kind: Kind) -> Migrator {
    let files = match kind {
        Kind::Postgres => POSTGRES,
        Kind::Sqlite => SQLITE,
    };
    let migration = |(version, description, text): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(files.iter().map(migration).collect())
}

async fn run(migrator: &Migrator, connection: &mut AnyConnection) -> Result<(), StoreError> {
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) => StoreError::from(error),
        MigrateError::ExecuteMigration(..) => StoreError::Unavailable(Box::new(error)),
        other => StoreError::Invalid(other.to_string()),
    })
}

/// PostgreSQL says `undefined_table`; SQLite has only its message.
fn is_missing_table(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    let Some(sqlx::Error::Database(refusal)) = source.downcast_ref::<sqlx::Error>() else { return false };
    refusal.code().as_deref() == Some("42P01") || refusal.message().starts_with("no such table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_the_folders_is_run() {
        for (folder, files) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let path = format!("{}/../migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut found: Vec<String> =
                std::fs::read_dir(path).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
            found.sort();
            let listed: Vec<String> = files.iter().map(|(v, name, _)| format!("{v:04}_{name}.sql")).collect();
            assert_eq!(found, listed, "{folder}");
        }
    }
}

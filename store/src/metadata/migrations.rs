//! Brings a database's schema to what this binary knows. A migration that has shipped is never edited.
use super::db::{Columns, Db, Kind};
use crate::{StoreError, sql};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlSafeStr};

/// How a database's schema stands to what this binary knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// It is the binary's.
    Current,
    /// It lacks migrations, or was never made.
    Older,
    /// A newer binary has migrated it.
    Newer,
    /// It lacks some and has others: no binary of the same line has migrated it.
    Foreign,
}

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
    (20, "lent_by_object", include_str!("../../../migrations/postgres/0020_lent_by_object.sql")),
    (21, "master_key", include_str!("../../../migrations/postgres/0021_master_key.sql")),
    (22, "restart_and_promotion", include_str!("../../../migrations/postgres/0022_restart_and_promotion.sql")),
    (23, "walks_waiting_for", include_str!("../../../migrations/postgres/0023_walks_waiting_for.sql")),
    (24, "fair_queue", include_str!("../../../migrations/postgres/0024_fair_queue.sql")),
    (25, "upload_places", include_str!("../../../migrations/postgres/0025_upload_places.sql")),
    (26, "moved_versions", include_str!("../../../migrations/postgres/0026_moved_versions.sql")),
    (27, "stranded_versions", include_str!("../../../migrations/postgres/0027_stranded_versions.sql")),
    (28, "null_versions", include_str!("../../../migrations/postgres/0028_null_versions.sql")),
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
    (20, "lent_by_object", include_str!("../../../migrations/sqlite/0020_lent_by_object.sql")),
    (21, "master_key", include_str!("../../../migrations/sqlite/0021_master_key.sql")),
    (22, "restart_and_promotion", include_str!("../../../migrations/sqlite/0022_restart_and_promotion.sql")),
    (23, "walks_waiting_for", include_str!("../../../migrations/sqlite/0023_walks_waiting_for.sql")),
    (24, "fair_queue", include_str!("../../../migrations/sqlite/0024_fair_queue.sql")),
    (25, "upload_places", include_str!("../../../migrations/sqlite/0025_upload_places.sql")),
    (26, "moved_versions", include_str!("../../../migrations/sqlite/0026_moved_versions.sql")),
    (27, "stranded_versions", include_str!("../../../migrations/sqlite/0027_stranded_versions.sql")),
    (28, "null_versions", include_str!("../../../migrations/sqlite/0028_null_versions.sql")),
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

pub(super) async fn schema(db: &Db) -> Result<Schema, StoreError> {
    let applied = match db.read(sqlx::query(sql::SCHEMA_VERSIONS).fetch_all(db.pool())).await {
        Ok(rows) => rows,
        Err(error) if is_missing_table(&error) => return Ok(Schema::Older),
        Err(error) => return Err(error),
    };
    let applied: Vec<Step> = applied
        .iter()
        .map(|row| Ok((row.int("version")?, row.bytes("checksum")?)))
        .collect::<Result<_, StoreError>>()?;
    let known: Vec<Step> = migrator(db.kind()).iter().map(|m| (m.version, m.checksum.to_vec())).collect();
    Ok(compare(&known, &applied))
}

/// A migration's version and checksum.
type Step = (i64, Vec<u8>);

fn compare(known: &[Step], applied: &[Step]) -> Schema {
    let is_lacking = known.iter().any(|step| !applied.contains(step));
    let is_ahead = applied.iter().any(|step| !known.contains(step));
    match (is_lacking, is_ahead) {
        (false, false) => Schema::Current,
        (true, false) => Schema::Older,
        (false, true) => Schema::Newer,
        (true, true) => Schema::Foreign,
    }
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
        MigrateError::VersionMissing(version) => StoreError::Invalid(format!(
            "this version is older than the schema, whose migration {version} it does not know"
        )),
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
    fn a_schema_is_older_newer_or_of_another_line() {
        let steps = |versions: &[i64]| versions.iter().map(|version| (*version, vec![1])).collect::<Vec<Step>>();
        for (known, applied, want) in [
            (steps(&[1, 2]), steps(&[1, 2]), Schema::Current),
            (steps(&[1, 2]), steps(&[]), Schema::Older),
            (steps(&[1, 2, 3]), steps(&[1, 3]), Schema::Older),
            (steps(&[1, 2]), steps(&[1, 2, 3]), Schema::Newer),
            (steps(&[1, 3]), steps(&[1, 2]), Schema::Foreign),
            (steps(&[1, 2]), vec![(1, vec![1]), (2, vec![2])], Schema::Foreign),
        ] {
            assert_eq!(compare(&known, &applied), want, "{known:?} {applied:?}");
        }
    }

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

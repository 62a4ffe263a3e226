//! One suite that both databases pass. Each case gets a database of its own; PostgreSQL is skipped, and says so, where
//! neither `S3GATEWAY_TEST_POSTGRES` (a URL whose user may create databases) nor its programs are found.
mod bucket_migrations;
mod buckets;
mod checksums;
mod concurrency;
mod control;
mod full_disk;
mod objects;
mod pages;
mod placement;
mod promotions;
mod queue;
mod reviews;
mod server;
mod sweeps;
mod tls;
mod unlisted;
mod upload_places;
mod versions;
mod walks;

use super::Metadata;
use super::db::now;
use crate::secrets::LocalKey;
use crate::{Backend, Begun, Millis, NewBucket, Route, Schema, Tenant, sql};
use s3gateway_config::{BackendId, Capabilities, Place, ResidencyPolicy, Secret};
use s3gateway_s3::{LogicalBucket, ObjectKey};
use server::{Durability, Server};
use sqlx::{AnyConnection, Connection, Executor};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A migrated store of its own; what it runs on goes when it is dropped.
pub(crate) struct Fixture {
    pub(crate) metadata: Metadata,
    pub(crate) url: String,
    _keep: Keep,
}

enum Keep {
    Folder(#[allow(dead_code)] tempfile::TempDir),
    Server(#[allow(dead_code)] Option<Arc<Server>>),
}

pub(crate) fn key(byte: &str) -> Arc<LocalKey> {
    Arc::new(LocalKey::from_hex(&byte.repeat(32)).unwrap())
}

impl Fixture {
    pub(crate) async fn sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("metadata.db").display());
        Some(Self::migrated(url, Keep::Folder(folder)).await)
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let server = match std::env::var("S3GATEWAY_TEST_POSTGRES") {
            Ok(_) => None,
            Err(_) => Some(Server::shared()?),
        };
        let base = match &server {
            Some(server) => server.url("postgres"),
            None => std::env::var("S3GATEWAY_TEST_POSTGRES").unwrap(),
        };
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&base).await.unwrap();
        let create = format!("create database {name} encoding 'UTF8' template template0");
        connection.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
        let (head, query) = base.split_once('?').unwrap_or((&base, ""));
        let (head, _) = head.rsplit_once('/').unwrap();
        Some(Self::migrated(format!("{head}/{name}?{query}"), Keep::Server(server)).await)
    }

    async fn migrated(url: String, keep: Keep) -> Self {
        let metadata = Metadata::connect(&url, 8, key("a1")).await.unwrap();
        assert_eq!(metadata.schema().await.unwrap(), Schema::Older);
        metadata.migrate().await.unwrap();
        assert_eq!(metadata.schema().await.unwrap(), Schema::Current);
        Self { metadata, url, _keep: keep }
    }

    /// The same database as another process sees it.
    async fn second(&self) -> Metadata {
        Metadata::connect(&self.url, 8, key("a1")).await.unwrap()
    }

    async fn tenant(&self, name: &str) -> Tenant {
        self.metadata.create_tenant(name, &ResidencyPolicy::default(), &[], 1).await.unwrap()
    }

    async fn backend(&self, id: &str) -> BackendId {
        self.metadata.put_backend(&backend(id)).await.unwrap();
        BackendId::parse(id).unwrap()
    }

    /// A bucket in service on backends `fi-hel` (home) and `de-fra`.
    async fn bucket(&self, tenant: &Tenant, name: &str) -> Route {
        let placement = vec![self.backend("fi-hel").await, self.backend("de-fra").await];
        let route = created(self.metadata.begin_create_bucket(&new_bucket(tenant, name, &placement)).await.unwrap());
        self.metadata.activate_bucket(&route.bucket).await.unwrap();
        route
    }
}

fn backend(id: &str) -> Backend {
    Backend {
        id: BackendId::parse(id).unwrap(),
        place: Place {
            zone: format!("{id}-1"),
            region: id.to_owned(),
            country: "FI".into(),
            jurisdiction: "EU".into(),
            provider: "test".into(),
            certifications: vec![],
        },
        endpoint: "http://127.0.0.1:9000".into(),
        region: "us-east-1".into(),
        access_key: "key".into(),
        secret_key: Arc::new(Secret::new(format!("secret of {id}"))),
        capabilities: Capabilities::default(),
        position: 0,
    }
}

fn new_bucket(tenant: &Tenant, name: &str, placement: &[BackendId]) -> NewBucket {
    NewBucket {
        tenant: tenant.id.clone(),
        name: LogicalBucket::parse(name).unwrap(),
        placement: placement.to_vec(),
        replica_count: 1,
        location: "fi-hel,de-fra".into(),
    }
}

fn created(begun: Begun) -> Route {
    match begun {
        Begun::Created(route) => route,
        other => panic!("expected a new bucket: {other:?}"),
    }
}

fn object(key: &str) -> ObjectKey {
    ObjectKey::parse(key).unwrap()
}

fn in_a_minute() -> Millis {
    now() + 60_000
}

/// Waits for a condition, half a minute at most.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

macro_rules! suite {
    ($($module:ident::$case:ident,)*) => {
        suite!(@on sqlite $($module::$case,)*);
        suite!(@on postgres $($module::$case,)*);
    };
    (@on $database:ident $($module:ident::$case:ident,)*) => {
        mod $database {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                match super::Fixture::$database().await {
                    Some(fixture) => super::$module::$case(fixture).await,
                    None => eprintln!("skipped: no PostgreSQL found"),
                }
            })*
        }
    };
}

suite! {
    control::tenants_are_kept_as_given,
    control::a_tenant_goes_only_without_buckets_and_takes_its_keys,
    control::signature_v2_is_off_until_it_is_set_and_tells_every_key,
    control::access_keys_open_only_with_the_right_master_key,
    control::a_secret_moved_to_another_row_is_corrupt,
    control::backends_keep_their_order,
    control::a_backend_is_added_once_and_changed_in_part,
    control::migrating_again_changes_nothing,
    control::every_statement_prepares,
    control::every_mutation_is_in_the_feed,
    buckets::a_bucket_lives_and_dies,
    buckets::a_crash_while_creating_is_resumed,
    buckets::a_name_is_reused_while_the_old_replica_retires,
    buckets::one_worker_has_a_bucket_that_is_to_be_ended,
    buckets::a_stranger_raises_the_name_once,
    buckets::unfinished_buckets_are_found,
    buckets::listing_is_by_bytes_in_pages,
    buckets::tenants_do_not_see_each_other,
    buckets::bad_buckets_are_refused,
    buckets::policy_and_count_change,
    buckets::tags_go_with_the_bucket,
    buckets::versioning_goes_with_the_bucket,
    checksums::checksums_are_kept_replaced_and_forgotten,
    checksums::parts_of_uploads_become_those_of_objects,
    upload_places::uploads_at_replicas_are_kept_lost_left_and_looked_at,
    objects::tags_uploads_and_copies_are_kept_by_bytes,
    objects::what_a_deleted_bucket_leaves_behind,
    objects::job_history_is_newest_first,
    pages::jobs_are_read_page_by_page,
    pages::walks_are_read_page_by_page,
    pages::drains_are_read_page_by_page,
    placement::a_replica_leaves_through_a_drain,
    placement::a_drain_is_called_off,
    placement::bad_placements_are_refused,
    placement::reviews_come_due_and_end,
    placement::what_is_kept_of_a_stranded_key_keeps_its_backend,
    placement::what_is_kept_of_a_stranded_key_holds_the_proof_of_its_drain_up,
    placement::an_adopted_bucket_is_given_back_as_it_was,
    reviews::a_retirement_makes_the_reviews_of_many_buckets_due,
    reviews::a_tenants_policy_makes_the_reviews_of_its_many_buckets_due,
    bucket_migrations::a_bucket_gets_its_hashed_name_on_the_same_backend,
    bucket_migrations::versions_move_to_the_hashed_name,
    bucket_migrations::a_bucket_moves_to_another_backend,
    bucket_migrations::a_migration_is_called_off,
    bucket_migrations::what_cannot_be_migrated,
    promotions::a_promotion_goes_step_by_step,
    promotions::a_replica_that_becomes_the_home_is_not_drained,
    promotions::a_promotion_that_fails_leaves_the_home,
    promotions::a_bucket_that_keeps_versions_moves_with_them,
    promotions::views_hold_a_change_up_until_they_know_it_or_run_out,
    promotions::stranded_keys_are_listed_until_they_are_settled,
    promotions::a_key_that_is_brought_home_is_noted_as_what_nobody_writes,
    promotions::what_is_given_up_is_asked_for_where_else_it_is_known_to_be,
    promotions::what_a_replica_lacks_is_known_by_the_records,
    promotions::what_a_replica_lacks_is_read_in_pages,
    promotions::what_is_recorded_during_a_promotion_is_looked_at_again,
    sweeps::a_deleted_bucket_goes_page_by_page,
    sweeps::a_deleted_bucket_without_replicas_is_there_until_its_last_page,
    sweeps::a_replica_comes_back_once_its_old_records_are_gone,
    sweeps::a_migration_ends_at_once_and_the_next_waits_for_its_records,
    versions::versions_are_mapped_in_their_order,
    versions::changes_of_tags_are_noted_until_they_are_old,
    versions::mapped_versions_go_with_their_replica,
    versions::a_homes_own_versions_are_noted_by_their_copies,
    versions::a_null_version_that_has_gone_hides_no_other,
    unlisted::unlisted_writes_are_noted_once_a_key_and_read_in_pages,
    unlisted::unlisted_writes_go_when_they_are_old_and_not_when_noted_anew,
    control::the_master_key_is_proven_and_replaced,
    checksums::of_versions_each_keeps_its_checksum_and_of_others_the_last,
    walks::whoever_asks_before_it_begins_shares_a_walk,
    walks::a_bucket_is_suspect_until_it_was_walked_over,
    walks::a_walk_of_a_suspect_bucket_waits_for_what_may_yet_land,
    walks::the_first_server_seen_may_have_forgotten_what_was_there_before,
    walks::a_walk_is_cut_and_walked_by_one_worker_a_shard,
    walks::the_guard_counts_what_all_shards_would_delete,
    walks::a_walk_waits_resumes_restarts_and_ends,
    walks::steps_keep_to_the_rate,
    walks::an_operator_slows_and_hastens_a_walk,
    walks::a_backfill_without_a_rate_is_given_one_when_it_begins,
    walks::a_long_walk_keeps_no_other_waiting,
    walks::changes_that_concern_every_key_begin_a_backfill,
    walks::buckets_take_their_turn_at_being_reconciled,
    walks::what_waits_for_an_operator_keeps_no_other_bucket_waiting,
    concurrency::changes_are_seen_in_commit_order_without_gaps,
    concurrency::many_writers_of_two_processes_all_succeed,
    concurrency::one_of_many_creators_wins,
    concurrency::migrating_at_once_is_harmless,
    concurrency::dropped_futures_leave_nothing_locked,
    queue::a_write_dirties_until_converged,
    queue::commit_marks_again_what_was_cleared,
    queue::a_lease_stands_in_the_way_of_clear,
    queue::a_lease_that_ran_out_blocks_until_the_next_claim,
    queue::a_write_meanwhile_requeues,
    queue::renew_marks_again_what_was_cleared,
    queue::a_released_key_stays_dirty_and_is_due,
    queue::a_thousand_overwrites_make_one_job,
    queue::retries_wait_and_count,
    queue::dead_letters_are_listed_redriven_and_revived,
    queue::a_buried_key_written_meanwhile_is_queued,
    queue::a_dead_workers_claim_is_taken_over,
    queue::what_a_dead_process_held_is_taken_over_at_once,
    queue::an_extended_claim_is_not_taken_over,
    queue::workers_never_claim_the_same_key,
    queue::concurrent_writers_and_workers_end_clean,
    queue::sequences_never_repeat,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_is_survived() {
    let Some(mut server) = Server::start(Durability::On) else { return eprintln!("skipped: no PostgreSQL found") };
    let metadata = Metadata::connect(&server.url("postgres"), 4, key("a1")).await.unwrap();
    metadata.migrate().await.unwrap();
    let all: Vec<_> = (0..4).map(|_| metadata.tenants()).collect();
    futures::future::try_join_all(all).await.unwrap();
    let tenant = metadata.create_tenant("before", &ResidencyPolicy::default(), &[], 1).await.unwrap();

    server.kill();
    let asked = Instant::now();
    let refused = metadata.tenant(&tenant.id).await.unwrap_err();
    assert!(matches!(refused, crate::StoreError::Unavailable(_)), "{refused:?}");
    assert!(asked.elapsed() < Duration::from_secs(8), "took {:?} to say so", asked.elapsed());

    server.restart();
    until("the pool has recovered", || async { metadata.ping().await.is_ok() }).await;
    for _ in 0..8 {
        assert_eq!(metadata.tenant(&tenant.id).await.unwrap().name, "before");
    }
    metadata.create_tenant("after", &ResidencyPolicy::default(), &[], 1).await.unwrap();
}

#[tokio::test]
async fn an_in_memory_database_serves_too() {
    let metadata = Metadata::connect("sqlite::memory:", 8, key("a1")).await.unwrap();
    metadata.migrate().await.unwrap();
    metadata.create_tenant("t", &ResidencyPolicy::default(), &[], 1).await.unwrap();
    assert_eq!(metadata.tenants().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_password_in_the_url_is_never_shown() {
    let metadata = Metadata::connect("sqlite::memory:?mode=memory", 1, key("a1")).await.unwrap();
    assert!(!format!("{metadata:?}").contains("memory"), "{metadata:?}");
    let refused = Metadata::connect("postgresql://u:hunter2@localhost:1/x", 1, key("a1")).await.unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused:?}");
}

#[tokio::test]
async fn a_url_that_names_no_database_is_invalid() {
    for url in ["mysql://x/y", "", "/some/path", "postgres"] {
        let refused = Metadata::connect(url, 1, key("a1")).await.unwrap_err();
        assert!(matches!(refused, crate::StoreError::Invalid(_)), "{url}: {refused:?}");
    }
}

#[test]
fn every_sql_file_is_a_statement_with_its_header() {
    let folder = format!("{}/src/sql", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sql"))
        .collect();
    files.sort();
    let mut listed: Vec<&str> = sql::ALL.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    assert_eq!(files, listed);
    for (name, text) in sql::ALL {
        assert!(text.starts_with(&format!("-- {name}: ")), "{name}");
        let body = text.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        assert!(!body.contains(';'), "{name} holds one statement");
    }
}

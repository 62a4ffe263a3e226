//! Tenants, access keys, backends, schema and change feed.
use super::{Fixture, backend, key, new_bucket, object};
use crate::metadata::db::Kind;
use crate::secrets::LocalKey;
use crate::{BackendProbe, Change, Metadata, Schema, StoreError, TenantId, sql};
use s3gateway_config::{BackendId, Capabilities, PlaceRule, ResidencyPolicy, Secret, Transit};
use sqlx::{Executor, SqlSafeStr};
use std::sync::Arc;

pub(super) async fn tenants_are_kept_as_given(f: Fixture) {
    let policy = ResidencyPolicy {
        allow: PlaceRule { jurisdictions: vec!["EU".into()], ..PlaceRule::default() },
        deny: PlaceRule { providers: vec!["x".into()], ..PlaceRule::default() },
        transit_outside: Transit(false),
    };
    let made = f.metadata.create_tenant("acme", &policy, &["fi-hel".into(), "de-fra".into()], 2).await.unwrap();
    for read in [f.metadata.tenant(&made.id).await.unwrap(), f.metadata.tenant_by_name("acme").await.unwrap()] {
        assert_eq!((&read.id, &read.policy, read.default_replica_count), (&made.id, &policy, 2));
        assert_eq!(read.default_placement, ["fi-hel", "de-fra"]);
        assert_eq!(read.created_at, made.created_at);
    }
    let taken = f.metadata.create_tenant("acme", &policy, &[], 1).await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))));
    for bad in ["", "A", "a b", "ä", &"a".repeat(64)] {
        let refused = f.metadata.create_tenant(bad, &policy, &[], 1).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{bad}");
    }
    let refused = f.metadata.create_tenant("none", &policy, &[], 0).await;
    assert!(matches!(refused, Err(StoreError::Invalid(_))));

    f.metadata.set_tenant_policy(&made.id, &ResidencyPolicy::default()).await.unwrap();
    f.metadata.set_tenant_defaults(&made.id, &["us-iad".into()], 3).await.unwrap();
    let read = f.metadata.tenant(&made.id).await.unwrap();
    assert_eq!((read.policy, read.default_replica_count), (ResidencyPolicy::default(), 3));
    let nobody = TenantId::new("nobody");
    let unknown = [
        f.metadata.tenant(&nobody).await.map(drop),
        f.metadata.tenant_by_name("nobody").await.map(drop),
        f.metadata.set_tenant_policy(&nobody, &policy).await,
        f.metadata.set_tenant_defaults(&nobody, &[], 1).await,
        f.metadata.set_tenant_signature_v2(&nobody, true).await,
        f.metadata.delete_tenant(&nobody).await,
        f.metadata.create_access_key(&nobody).await.map(drop),
    ];
    for outcome in unknown {
        assert!(matches!(outcome, Err(StoreError::NotFound)), "{outcome:?}");
    }
}

pub(super) async fn a_tenant_goes_only_without_buckets_and_takes_its_keys(f: Fixture) {
    let tenant = f.tenant("acme").await;
    let (info, _) = f.metadata.create_access_key(&tenant.id).await.unwrap();
    let route = f.bucket(&tenant, "photos").await;
    assert!(matches!(f.metadata.delete_tenant(&tenant.id).await, Err(StoreError::Conflict(_))));
    f.metadata.begin_delete_bucket(&route.bucket).await.unwrap();
    f.metadata.finish_delete_bucket(&route.bucket).await.unwrap();
    let retiring = f.metadata.delete_tenant(&tenant.id).await;
    assert!(matches!(retiring, Err(StoreError::Conflict(_))), "a replica still holds its data");
    f.metadata.drop_physical(&route.bucket, &BackendId::parse("de-fra").unwrap()).await.unwrap();
    let head = f.metadata.change_head().await.unwrap();
    f.metadata.delete_tenant(&tenant.id).await.unwrap();
    assert!(f.metadata.access_key(&info.id).await.unwrap().is_none());
    let changes: Vec<Change> =
        f.metadata.changes_since(head, 10).await.unwrap().into_iter().map(|(_, change)| change).collect();
    assert_eq!(changes, [Change::AccessKey(info.id), Change::Tenant(tenant.id)]);
}

pub(super) async fn signature_v2_is_off_until_it_is_set_and_tells_every_key(f: Fixture) {
    let (one, two) = (f.tenant("one").await, f.tenant("two").await);
    assert!(!one.signature_v2);
    let (key, _) = f.metadata.create_access_key(&one.id).await.unwrap();
    let (other, _) = f.metadata.create_access_key(&two.id).await.unwrap();
    for accepted in [true, false] {
        let head = f.metadata.change_head().await.unwrap();
        f.metadata.set_tenant_signature_v2(&one.id, accepted).await.unwrap();
        assert_eq!(f.metadata.tenant(&one.id).await.unwrap().signature_v2, accepted);
        assert_eq!(f.metadata.access_key(&key.id).await.unwrap().unwrap().signature_v2, accepted);
        assert!(!f.metadata.access_key(&other.id).await.unwrap().unwrap().signature_v2);
        let changes: Vec<Change> =
            f.metadata.changes_since(head, 10).await.unwrap().into_iter().map(|(_, change)| change).collect();
        assert_eq!(changes, [Change::AccessKey(key.id.clone()), Change::Tenant(one.id.clone())]);
    }
}

pub(super) async fn access_keys_open_only_with_the_right_master_key(f: Fixture) {
    let (one, two) = (f.tenant("one").await, f.tenant("two").await);
    let (info, secret) = f.metadata.create_access_key(&one.id).await.unwrap();
    f.metadata.create_access_key(&two.id).await.unwrap();
    assert_eq!((info.id.len(), secret.expose().len()), (20, 40));
    let read = f.second().await.access_key(&info.id).await.unwrap().unwrap();
    assert_eq!((read.tenant, read.secret.expose()), (one.id.clone(), secret.expose()));

    let stranger = Metadata::connect(&f.url, 1, key("b2")).await.unwrap();
    assert!(matches!(stranger.access_key(&info.id).await, Err(StoreError::Corrupt(_))));
    f.metadata.put_backend(&backend("fi-hel")).await.unwrap();
    assert!(matches!(stranger.backends().await, Err(StoreError::Corrupt(_))));

    f.metadata.set_access_key_enabled(&info.id, false).await.unwrap();
    assert!(f.metadata.access_key(&info.id).await.unwrap().is_none(), "a disabled key is no key");
    f.metadata.set_access_key_enabled(&info.id, true).await.unwrap();
    assert!(f.metadata.access_key(&info.id).await.unwrap().is_some());
    let listed = f.metadata.access_keys(Some(&one.id)).await.unwrap();
    assert_eq!(listed.iter().map(|k| (&k.id, k.enabled)).collect::<Vec<_>>(), [(&info.id, true)]);
    assert_eq!(f.metadata.access_keys(None).await.unwrap().len(), 2);
    f.metadata.delete_access_key(&info.id).await.unwrap();
    assert!(f.metadata.access_key(&info.id).await.unwrap().is_none());
    assert!(matches!(f.metadata.delete_access_key(&info.id).await, Err(StoreError::NotFound)));
    assert!(matches!(f.metadata.set_access_key_enabled(&info.id, true).await, Err(StoreError::NotFound)));
}

pub(super) async fn a_secret_moved_to_another_row_is_corrupt(f: Fixture) {
    let (one, two) = (f.tenant("one").await, f.tenant("two").await);
    let (mine, _) = f.metadata.create_access_key(&one.id).await.unwrap();
    let (theirs, _) = f.metadata.create_access_key(&two.id).await.unwrap();
    let swap = sqlx::query(
        "update access_keys set secret = (select k.secret from access_keys k where k.id = $2) where id = $1",
    );
    swap.bind(mine.id.as_str()).bind(theirs.id.as_str()).execute(f.metadata.db.pool()).await.unwrap();
    assert!(matches!(f.metadata.access_key(&mine.id).await, Err(StoreError::Corrupt(_))));
    assert!(f.metadata.access_key(&theirs.id).await.unwrap().is_some());
    let stored: String = sqlx::query_scalar("select secret from access_keys where id = $1")
        .bind(theirs.id.as_str())
        .fetch_one(f.metadata.db.pool())
        .await
        .unwrap();
    let secret = f.metadata.access_key(&theirs.id).await.unwrap().unwrap().secret;
    assert!(!stored.contains(secret.expose().as_str()), "never stored in clear");
}

pub(super) async fn backends_keep_their_order(f: Fixture) {
    for id in ["zz", "aa", "mm"] {
        f.backend(id).await;
    }
    let mut changed = backend("zz");
    changed.endpoint = "https://example.org".into();
    changed.capabilities.tagging = false;
    f.metadata.put_backend(&changed).await.unwrap();
    let read = f.metadata.backends().await.unwrap();
    assert_eq!(read.iter().map(|b| b.id.as_str()).collect::<Vec<_>>(), ["zz", "aa", "mm"]);
    assert!(read[0].position < read[1].position && read[1].position < read[2].position);
    assert_eq!(
        (&read[0].endpoint, &read[0].capabilities, &read[0].place),
        (&changed.endpoint, &changed.capabilities, &changed.place)
    );
    assert_eq!(read[1].secret_key.expose(), "secret of aa");
    for endpoint in ["", "ftp://x", "http://", "http://h/path", "http://u@h", "https://h?x", "http://:80", "http://a b"]
    {
        let mut bad = backend("bad");
        bad.endpoint = endpoint.into();
        assert!(matches!(f.metadata.put_backend(&bad).await, Err(StoreError::Invalid(_))), "{endpoint}");
    }

    let tenant = f.tenant("acme").await;
    let aa = BackendId::parse("aa").unwrap();
    let new = new_bucket(&tenant, "photos", std::slice::from_ref(&aa));
    let route = super::created(f.metadata.begin_create_bucket(&new).await.unwrap());
    assert!(matches!(f.metadata.delete_backend(&aa).await, Err(StoreError::Conflict(_))));
    f.metadata.abandon_bucket(&route.bucket).await.unwrap();
    f.metadata.delete_backend(&aa).await.unwrap();
    assert!(matches!(f.metadata.delete_backend(&aa).await, Err(StoreError::NotFound)));
}

pub(super) async fn a_backend_is_added_once_and_changed_in_part(f: Fixture) {
    let (m, added) = (&f.metadata, backend("fi-hel"));
    m.add_backend(&added).await.unwrap();
    let mut other = backend("fi-hel");
    other.endpoint = "https://example.org".into();
    assert!(matches!(m.add_backend(&other).await, Err(StoreError::Conflict(_))));
    assert_eq!(m.backends().await.unwrap()[0].endpoint, added.endpoint, "it stands as it was added");
    assert!(matches!(m.replace_backend(&backend("nobody"), true).await, Err(StoreError::NotFound)));
    assert_eq!(m.backends().await.unwrap().len(), 1);

    // Measured, while its credentials are rotated.
    let measured = Capabilities { tagging: false, ..Capabilities::default() };
    let mut rotated = backend("fi-hel");
    (rotated.access_key, rotated.secret_key) = ("rotated".into(), Arc::new(Secret::new("anew".into())));
    let head = m.change_head().await.unwrap();
    m.replace_backend(&rotated, true).await.unwrap();
    m.set_capabilities(&added.id, &added.endpoint, &measured).await.unwrap();
    let probe = BackendProbe { probed_at: 1, findings: vec![] };
    m.put_probe(&added.id, &added.endpoint, &probe).await.unwrap();
    let read = m.backends().await.unwrap().remove(0);
    assert_eq!((read.access_key.as_str(), read.secret_key.expose().as_str()), ("rotated", "anew"));
    assert_eq!(read.capabilities, measured);
    m.replace_backend(&rotated, true).await.unwrap();
    assert_eq!(m.backends().await.unwrap()[0].capabilities, measured, "kept, as was asked");
    assert_eq!(m.probe(&added.id).await.unwrap(), Some(probe.clone()));
    m.replace_backend(&rotated, false).await.unwrap();
    assert_eq!(m.backends().await.unwrap()[0].capabilities, Capabilities::default());
    assert_eq!(m.change_head().await.unwrap(), head + 4, "each is told");

    // Measured, while it moves to another endpoint.
    m.replace_backend(&other, true).await.unwrap();
    let late = m.set_capabilities(&added.id, &added.endpoint, &measured).await;
    assert!(matches!(late, Err(StoreError::NotFound)), "{late:?}");
    let late = m.put_probe(&added.id, &added.endpoint, &probe).await;
    assert!(matches!(late, Err(StoreError::NotFound)), "{late:?}");
    assert_eq!((m.backends().await.unwrap()[0].capabilities.tagging, m.probe(&added.id).await.unwrap()), (true, None));

    let mut moved = other.clone();
    moved.place.country = "SE".into();
    m.replace_backend(&moved, true).await.unwrap();
    let tenant = f.tenant("acme").await;
    let new = new_bucket(&tenant, "photos", std::slice::from_ref(&added.id));
    m.begin_create_bucket(&new).await.unwrap();
    assert!(matches!(m.replace_backend(&other, true).await, Err(StoreError::Conflict(_))), "its data is in SE");
    m.replace_backend(&moved, true).await.unwrap();
}

pub(super) async fn migrating_again_changes_nothing(f: Fixture) {
    f.tenant("acme").await;
    f.metadata.migrate().await.unwrap();
    assert_eq!(f.metadata.schema().await.unwrap(), Schema::Current);
    assert_eq!(f.metadata.tenants().await.unwrap().len(), 1);
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
        select 99, description, success, checksum, execution_time from _sqlx_migrations where version = 1";
    sqlx::query(newer).execute(f.metadata.db.pool()).await.unwrap();
    assert_eq!(f.metadata.schema().await.unwrap(), Schema::Newer, "a schema from the future is not current");
    let refused = f.metadata.migrate().await;
    assert!(matches!(&refused, Err(StoreError::Invalid(why)) if why.contains("older than the schema")), "{refused:?}");
    let other = "delete from _sqlx_migrations where version = 1";
    sqlx::query(other).execute(f.metadata.db.pool()).await.unwrap();
    assert_eq!(f.metadata.schema().await.unwrap(), Schema::Foreign);
    assert!(matches!(f.metadata.migrate().await, Err(StoreError::Invalid(_))));
}

pub(super) async fn every_statement_prepares(f: Fixture) {
    let mut connection = f.metadata.db.pool().acquire().await.unwrap();
    let other = match f.metadata.db.kind() {
        Kind::Postgres => ".sqlite.sql",
        Kind::Sqlite => ".postgres.sql",
    };
    for (name, text) in sql::ALL.iter().filter(|(name, _)| !name.ends_with(other)) {
        if let Err(error) = connection.prepare(text.into_sql_str()).await {
            panic!("{name}: {error}");
        }
    }
}

pub(super) async fn every_mutation_is_in_the_feed(f: Fixture) {
    let m = &f.metadata;
    assert_eq!(m.change_head().await.unwrap(), 0);
    let tenant = f.tenant("acme").await;
    let (info, _) = m.create_access_key(&tenant.id).await.unwrap();
    let route = f.bucket(&tenant, "photos").await; // two backends, begin, activate
    let home = route.home.clone();
    m.set_tenant_policy(&tenant.id, &ResidencyPolicy::default()).await.unwrap();
    m.set_tenant_defaults(&tenant.id, &[], 1).await.unwrap();
    m.set_access_key_enabled(&info.id, false).await.unwrap();
    m.delete_access_key(&info.id).await.unwrap();
    m.set_bucket_policy(&route.bucket, &ResidencyPolicy::default()).await.unwrap();
    m.set_replica_count(&route.bucket, 2).await.unwrap();
    m.raise_physical_name(&route.bucket, &BackendId::parse("de-fra").unwrap()).await.unwrap();
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    m.cancel_delete_bucket(&route.bucket).await.unwrap();
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    m.drop_physical(&route.bucket, &BackendId::parse("de-fra").unwrap()).await.unwrap();
    m.delete_backend(&home).await.unwrap();
    let (t, a, b) = (Change::Tenant(tenant.id.clone()), Change::AccessKey(info.id), Change::Backends);
    let u = Change::Bucket(tenant.id.clone(), "photos".into());
    let want: Vec<&Change> = vec![&t, &a, &b, &b, &u, &u, &t, &t, &a, &a, &u, &u, &u, &u, &u, &u, &u, &u, &b];
    let read = m.changes_since(0, 100).await.unwrap();
    assert_eq!(read.iter().map(|(_, change)| change).collect::<Vec<_>>(), want);
    assert_eq!(read.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (1..=19).collect::<Vec<_>>());
    assert_eq!(m.change_head().await.unwrap(), 19);
    assert_eq!(m.changes_since(17, 1).await.unwrap(), [(18, u.clone())]);

    // What changes nothing, and what does not concern the control plane, is not told.
    assert!(m.delete_backend(&home).await.is_err());
    m.abandon_bucket(&route.bucket).await.unwrap();
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    let other = f.bucket(&tenant, "other").await;
    let head = m.change_head().await.unwrap();
    m.put_tags(&other.bucket, &object("k"), "e", &[]).await.unwrap();
    assert_eq!(m.change_head().await.unwrap(), head);
    assert_eq!(m.prune_changes(super::in_a_minute()).await.unwrap(), u64::try_from(head).unwrap());
    f.tenant("later").await;
    assert_eq!(m.changes_since(0, 10).await.unwrap()[0].0, head + 1, "the gap tells a late reader");
}

pub(super) async fn the_master_key_is_proven_and_replaced(f: Fixture) {
    let with = async |keys: &str| {
        let keys = Arc::new(LocalKey::from_hex(keys).unwrap());
        Metadata::connect(&f.url, 2, keys).await.unwrap()
    };
    let (old, new) = ("a1".repeat(32), "b2".repeat(32));
    let (before, after, both) = (with(&old).await, with(&new).await, with(&format!("{new} {old}")).await);
    let is_wrong = |proven| matches!(proven, Err(StoreError::Invalid(why)) if why.contains("master key"));
    f.backend("fi-hel").await;
    assert!(is_wrong(after.prove_master_key().await), "a store that no proof was noted in has secrets that say it");
    before.prove_master_key().await.unwrap();
    both.prove_master_key().await.unwrap();

    let tenant = f.tenant("acme").await;
    let (info, secret) = before.create_access_key(&tenant.id).await.unwrap();
    assert!(before.rewrap_secrets().await.unwrap() == 0 && after.rewrap_secrets().await.is_err());
    assert_eq!(both.rewrap_secrets().await.unwrap(), 2);
    assert_eq!(both.rewrap_secrets().await.unwrap(), 0, "they are");
    after.prove_master_key().await.unwrap();
    assert!(is_wrong(before.prove_master_key().await));
    let key = after.access_key(&info.id).await.unwrap().unwrap();
    assert_eq!(key.secret.expose(), secret.expose());
    assert_eq!(after.backends().await.unwrap()[0].secret_key.expose(), "secret of fi-hel");
    assert!(matches!(before.access_key(&info.id).await, Err(StoreError::Corrupt(_))));

    let empty = Fixture::sqlite().await.unwrap();
    empty.metadata.prove_master_key().await.unwrap();
    let other = Metadata::connect(&empty.url, 1, Arc::new(LocalKey::from_hex(&new).unwrap())).await.unwrap();
    assert!(is_wrong(other.prove_master_key().await), "also where there is no secret yet");

    let keyed = Fixture::sqlite().await.unwrap();
    let tenant = keyed.tenant("acme").await;
    keyed.metadata.create_access_key(&tenant.id).await.unwrap();
    let other = Metadata::connect(&keyed.url, 1, Arc::new(LocalKey::from_hex(&new).unwrap())).await.unwrap();
    assert!(is_wrong(other.prove_master_key().await), "an older store with nothing but a tenant's key");
}

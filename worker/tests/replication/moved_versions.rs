//! Promotions of buckets that keep versions, against real S3 servers: clients go on knowing each version by the id that its first home gave it.

use crate::placement::{is_there, place, report};
use crate::sites::walking::{found, walk};
use crate::sites::{Site, World, noise, until};
use crate::versions::{Written, assert_kept, delete, delete_version, listed, put, rows, set_versioning, versioned};
use s3gateway_s3::{VersionId, Versioning};
use s3gateway_store::{DrainState, Promotion, PromotionState, StoreError, VersionCopy, WalkKind};

/// Begins a planned promotion of the replica and follows it to its end.
async fn promote(world: &World) -> Promotion {
    let (bucket, target) = (&world.route.bucket, &world.near.id);
    let begun = world.metadata.begin_promotion(bucket, target, world.route.epoch, false).await.unwrap();
    let now = async || world.metadata.promotion(&begun.id).await.unwrap();
    let has_ended = async || now().await.state.is_over();
    until("it has ended", has_ended).await;
    now().await
}

/// The same, and goes on with the two in each other's place.
async fn move_home(world: &mut World) {
    let ended = promote(world).await;
    assert_eq!(ended.state, PromotionState::Done, "{}", ended.detail);
    std::mem::swap(&mut world.home, &mut world.near);
    world.reread_route().await;
    assert!(world.route.home == world.home.id && world.route.has_moved_versions);
}

/// The id by which a home knows a version.
async fn own(world: &World, key: &str, shown: &str) -> String {
    let rows = rows(world, &world.home, key).await;
    rows.iter().find(|row| row.home_version.as_str() == shown).map_or(shown, |row| row.version.as_str()).to_owned()
}

async fn assert_nothing_is_wrong(world: &World) {
    for kind in [WalkKind::Reconcile, WalkKind::Deep] {
        let done = walk(world, kind).await;
        assert_eq!((found(world, &done).await, done.marked), (vec![], 0), "{kind:?}");
    }
}

/// What a site itself calls its versions.
async fn own_ids(world: &World, site: &Site, key: &str) -> Vec<String> {
    listed(world, site, key).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_goes_by_its_first_id_wherever_its_home_is() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let mut old = vec![put(&world, "old", b"from before").await];
    set_versioning(&mut world, Versioning::Enabled).await;
    world.start_worker().await;
    let mut want: Vec<Written> = Vec::new();
    for body in [&b"one"[..], &noise(300_000, 1), b"three"] {
        want.push(put(&world, "k", body).await);
    }
    want.push(delete(&world, "k").await);
    old.push(put(&world, "old", b"and after").await);
    let hidden = [put(&world, "hidden", b"x").await, delete(&world, "hidden").await];
    let first = [("k", want.clone()), ("old", old.clone()), ("hidden", hidden.to_vec())];
    for (key, want) in &first {
        assert_kept(&world, &world.near, key, want).await;
    }
    let before = own_ids(&world, &world.home, "k").await;

    move_home(&mut world).await;
    // The former home is a replica that has lost nothing, and of which nothing is written anew.
    for (key, want) in &first {
        assert_kept(&world, &world.near, key, want).await;
    }
    assert_eq!(own_ids(&world, &world.near, "k").await, before);
    assert_nothing_is_wrong(&world).await;

    // What is written now has its id from the new home; what is deleted goes at both, whatever it is called there.
    want.push(put(&world, "k", b"by the new home").await);
    want.push(put(&world, "k", b"once more").await);
    assert_kept(&world, &world.near, "k", &want).await;
    for gone in [0, 1, 2] {
        let (shown, _) = want.remove(gone);
        let own = own(&world, "k", &shown).await;
        delete_version(&world, "k", &own).await;
        assert_kept(&world, &world.near, "k", &want).await;
        let (bucket, k, id) = (&world.route.bucket, world.dirty("k").key, VersionId::parse(&shown).unwrap());
        assert!(rows(&world, &world.home, "k").await.iter().all(|row| row.home_version != id));
        let known = world.metadata.own_version(bucket, &k, &world.home.id, &id).await.unwrap();
        assert_eq!(known.unwrap_or(id).as_str(), own, "its id is known for a while");
    }
    let null = own(&world, "old", "null").await;
    assert_ne!(null, "null", "the new home knows it by an id");
    assert_nothing_is_wrong(&world).await;

    // And back.
    move_home(&mut world).await;
    want.push(put(&world, "k", b"by the first home again").await);
    for (key, want) in [("k", &want), ("old", &old)] {
        assert_kept(&world, &world.near, key, want).await;
    }
    assert_nothing_is_wrong(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_home_that_is_left_is_emptied_of_all_versions() {
    let mut world = versioned().await;
    let want = [put(&world, "k", b"one").await, put(&world, "k", b"two").await, delete(&world, "k").await];
    assert_kept(&world, &world.near, "k", &want).await;
    move_home(&mut world).await;
    let (home, former) = (world.home.id.clone(), world.bucket_on(&world.near));
    place(&mut world, vec![home], 1).await;
    until("the former home is gone", async || report(&world, &world.near).await.state == DrainState::Gone).await;
    assert!(!is_there(&world.near, &former).await);
    assert_eq!(own_ids(&world, &world.home, "k").await.len(), 3);
    assert_eq!(rows(&world, &world.near, "k").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_the_home_is_prepared_to_move_is_known_at_both() {
    let mut world = versioned().await;
    let mut want = vec![put(&world, "k", b"one").await];
    set_versioning(&mut world, Versioning::Suspended).await;
    for body in [&b"null"[..], b"again"] {
        let null = [put(&world, "null", body).await];
        assert_kept(&world, &world.near, "null", &null).await;
    }
    world.near.wire.hold("versions");
    let (bucket, target) = (world.route.bucket.clone(), world.near.id.clone());
    let begun = world.metadata.begin_promotion(&bucket, &target, world.route.epoch, false).await.unwrap();
    let is_compared = async || world.near.wire.take_seen().iter().any(|line| line.contains("versions"));
    until("the two are compared", is_compared).await;
    want.push(put(&world, "k", b"two").await);
    let other = [put(&world, "new", b"new").await];
    let null = [put(&world, "null", b"the next").await];
    assert!(matches!(
        world.metadata.set_versioning(&bucket, world.route.epoch, Versioning::Enabled).await,
        Err(StoreError::Conflict(_))
    ));
    world.near.wire.let_in();
    let now = async || world.metadata.promotion(&begun.id).await.unwrap();
    until("the home has moved", async || now().await.state == PromotionState::Done).await;
    std::mem::swap(&mut world.home, &mut world.near);
    world.reread_route().await;
    let is_known = async |key: &str, count: usize| rows(&world, &world.near, key).await.len() == count;
    until("both are known", async || is_known("k", 2).await && is_known("new", 1).await).await;
    assert_kept(&world, &world.near, "k", &want).await;
    assert_kept(&world, &world.near, "new", &other).await;
    assert_kept(&world, &world.near, "null", &null).await;
    assert_nothing_is_wrong(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_does_not_move_to_where_versions_are_others_or_cannot_be_kept() {
    let mut world = versioned().await;
    let want = [put(&world, "k", b"one").await, put(&world, "k", b"two").await];
    assert_kept(&world, &world.near, "k", &want).await;
    // A version that the replica has lost is brought back first.
    let lost = rows(&world, &world.near, "k").await[0].version.to_string();
    let delete = world.near.client().delete_object().bucket(world.bucket_on(&world.near)).key("k").version_id(lost);
    delete.send().await.unwrap();
    assert_eq!(promote(&world).await.state, PromotionState::Done);
    std::mem::swap(&mut world.home, &mut world.near);
    world.reread_route().await;
    assert_kept(&world, &world.near, "k", &want).await;

    // A third place that keeps none.
    world.metadata.set_replica_count(&world.route.bucket, 3).await.unwrap();
    std::mem::swap(&mut world.far, &mut world.near);
    let ended = promote(&world).await;
    assert_eq!(ended.state, PromotionState::Failed);
    assert!(ended.detail.contains("keeps no versions"), "{}", ended.detail);
    std::mem::swap(&mut world.far, &mut world.near);
    assert_kept(&world, &world.near, "k", &want).await;
}

/// A site's state of versioning.
async fn state_at(world: &World, site: &Site) -> String {
    let asked = site.client().get_bucket_versioning().bucket(world.bucket_on(site)).send().await.unwrap();
    asked.status().unwrap().as_str().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_bucket_moves_and_its_null_version_is_one() {
    let mut world = versioned().await;
    let mut want = vec![put(&world, "k", b"one").await];
    set_versioning(&mut world, Versioning::Suspended).await;
    want.push(put(&world, "k", b"null of the first home").await);
    let hidden = [put(&world, "hidden", b"x").await, delete(&world, "hidden").await];
    let still = [put(&world, "still", b"never written again").await];
    assert_eq!((want[1].0.as_str(), hidden[1].0.as_str()), ("null", "null"));
    for (key, want) in [("k", &want[..]), ("hidden", &hidden[1..]), ("still", &still)] {
        assert_kept(&world, &world.near, key, want).await;
    }

    for (round, status) in [(1, "Suspended"), (2, "Suspended"), (3, "Enabled")] {
        if round == 3 {
            set_versioning(&mut world, Versioning::Enabled).await;
        }
        move_home(&mut world).await;
        assert_eq!(state_at(&world, &world.home).await, status, "{round}");
        for (key, want) in [("k", &want[..]), ("hidden", &hidden[1..]), ("still", &still)] {
            assert_kept(&world, &world.near, key, want).await;
        }
        assert_nothing_is_wrong(&world).await;
        // A proxy that dies behind the write leaves the former `null` version where it is, under an id of the home's own.
        let written = put(&world, "k", format!("round {round}").as_bytes()).await;
        if status == "Suspended" {
            assert_eq!(written.0, "null");
            want.pop();
        }
        want.push(written);
        assert_kept(&world, &world.near, "k", &want).await;
        until("one of the two is left", async || own_ids(&world, &world.home, "k").await.len() == want.len()).await;
        assert_eq!(state_at(&world, &world.near).await, "Enabled", "a copy replaces nothing");
        assert_nothing_is_wrong(&world).await;
    }
    // A proxy has noted it, and died before it was deleted; the home moves on at once.
    set_versioning(&mut world, Versioning::Suspended).await;
    world.stop_worker().await;
    let (bucket, k) = (world.route.bucket.clone(), world.dirty("k").key);
    let former = VersionId::parse(&own(&world, "k", "null").await).unwrap();
    assert!(!former.is_null());
    let written = put(&world, "k", b"above the one that is to go").await;
    want.retain(|(id, _)| id != "null");
    want.push(written);
    world.metadata.note_null_over(&bucket, &k, &world.home.id, &former, VersionCopy::REPLACED).await.unwrap();
    world.start_worker().await;
    move_home(&mut world).await;
    assert_kept(&world, &world.near, "k", &want).await;
    assert_eq!(own_ids(&world, &world.home, "k").await.len(), want.len());
    assert_nothing_is_wrong(&world).await;
    // Deleted while it is the home's own id.
    let null = own(&world, "still", "null").await;
    delete_version(&world, "still", &null).await;
    assert_kept(&world, &world.near, "still", &[]).await;
}

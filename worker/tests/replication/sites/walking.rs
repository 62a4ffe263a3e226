//! Walks as tests ask for them and wait for them.
use super::{World, until};
use s3gateway_store::{NewWalk, Walk, WalkFinding, WalkKind, WalkState};

pub async fn begin(world: &World, kind: WalkKind, rate: u32) -> Walk {
    let new = NewWalk { bucket: world.route.bucket.clone(), kind, rate, reason: "a test".to_owned() };
    world.metadata.begin_walk(new).await.unwrap()
}

pub async fn reach(world: &World, walk: &Walk, state: WalkState) -> Walk {
    until(state.as_str(), async || {
        let now = world.metadata.walk(&walk.id).await.unwrap();
        assert!(now.state == state || !now.state.is_final(), "{now:?}");
        now.state == state
    })
    .await;
    world.metadata.walk(&walk.id).await.unwrap()
}

pub async fn walk(world: &World, kind: WalkKind) -> Walk {
    let walk = begin(world, kind, 0).await;
    reach(world, &walk, WalkState::Done).await
}

/// What a walk has found, as `kind key backend`, in order.
pub async fn found(world: &World, walk: &Walk) -> Vec<String> {
    let findings = world.metadata.walk_findings(&walk.id).await.unwrap();
    let line = |f: &WalkFinding| format!("{} {} {}", f.kind.as_str(), f.key.as_str(), f.backend);
    let mut lines: Vec<String> = findings.iter().map(line).collect();
    lines.sort();
    lines
}

//! What a worker does about a real Redis that has forgotten marks which no walk over listings would find.

use crate::sites::{Site, World, until};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Tag, Tagging};
use s3gateway_store::queue::RedisQueue;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// A Redis that writes nothing down: started again, it has forgotten everything.
pub struct Redis {
    port: u16,
    child: Child,
}

impl Redis {
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let redis = Self { port, child: Self::spawn(port) };
        redis.listens().await;
        redis
    }

    fn spawn(port: u16) -> Child {
        let mut redis = Command::new("redis-server");
        redis.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        redis.stdout(Stdio::null()).spawn().unwrap()
    }

    async fn listens(&self) {
        until("Redis listens", async || TcpStream::connect(("127.0.0.1", self.port)).is_ok()).await;
    }

    async fn forget(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(self.port);
        self.listens().await;
    }

    pub async fn queue(&self, world: &World) -> RedisQueue {
        let url = format!("redis://127.0.0.1:{}", self.port);
        RedisQueue::connect(&[url], None, "s3gw", 4, Some(world.metadata.clone())).await.unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until all of these are proven clean, which takes a walk once Redis has forgotten.
async fn proven_clean(world: &World, keys: &[&str]) {
    for key in keys {
        let dirty = world.dirty(key);
        until(key, async || matches!(world.queue.is_clean(&dirty).await, Ok(true))).await;
    }
}

async fn tag(world: &World, key: &str, value: &str) {
    let tag = Tag::builder().key("state").value(value).build().unwrap();
    let tagging = Tagging::builder().tag_set(tag).build().unwrap();
    let put = world.home.client().put_object_tagging().bucket(world.bucket_on(&world.home)).key(key);
    world.write(key, put.tagging(tagging).send()).await.unwrap();
}

async fn put_with(world: &World, key: &str, owner: &str) {
    let put = world.home.client().put_object().bucket(world.bucket_on(&world.home)).key(key);
    let put = put.metadata("owner", owner).body(ByteStream::from_static(b"the same bytes"));
    world.write(key, put.send()).await.unwrap();
}

/// The owner in the metadata and the state in the tags of a copy.
async fn shown(world: &World, site: &Site, key: &str) -> (String, String) {
    let bucket = world.bucket_on(site);
    let head = site.client().head_object().bucket(&bucket).key(key).send().await.unwrap();
    let tags = site.client().get_object_tagging().bucket(&bucket).key(key).send().await.unwrap();
    let owner = head.metadata().and_then(|metadata| metadata.get("owner")).cloned().unwrap_or_default();
    (owner, tags.tag_set().first().map(|tag| tag.value().to_owned()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_and_headers_whose_marks_were_forgotten_come_to_the_replica() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let mut redis = Redis::start().await;
    world.queue = Arc::new(redis.queue(&world).await);
    world.start_worker().await;
    let keys = ["noted", "not-noted", "put-again", "untouched"];
    for key in keys {
        put_with(&world, key, "ann").await;
        tag(&world, key, "old").await;
    }
    proven_clean(&world, &keys).await;
    world.stop_worker().await;
    world.metadata.note_unlisted_write(&world.route.bucket, &world.dirty("noted").key).await.unwrap();
    for key in ["noted", "not-noted"] {
        tag(&world, key, "new").await;
    }
    put_with(&world, "put-again", "bob").await;
    redis.forget().await;
    until("Redis answers", async || matches!(world.queue.is_marked(&world.dirty("noted")).await, Ok(false))).await;
    assert_eq!(shown(&world, &world.near, "noted").await, ("ann".into(), "old".into()));

    world.start_worker().await;
    proven_clean(&world, &keys).await;
    for (key, want) in [("noted", ("ann", "new")), ("put-again", ("bob", "")), ("untouched", ("ann", "old"))] {
        assert_eq!(shown(&world, &world.near, key).await, (want.0.into(), want.1.into()), "{key}");
    }
    // What is in no journal, no listing shows.
    assert_eq!(shown(&world, &world.near, "not-noted").await, ("ann".into(), "old".into()));
    // It is forgotten a second time: what was marked anew is still in the journal.
    world.stop_worker().await;
    tag(&world, "noted", "newest").await;
    redis.forget().await;
    world.start_worker().await;
    proven_clean(&world, &keys).await;
    assert_eq!(shown(&world, &world.near, "noted").await, ("ann".into(), "newest".into()));
}

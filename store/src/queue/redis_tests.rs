//! The Redis queue and its fallback on real servers: killed, frozen, restarted, in a cluster.
use super::suite::{claim_one, key_in, queue_suite, write};
use super::testing::{RedisCluster, RedisServer, until};
use super::{Cleared, Holder, Queue, RedisQueue, SqlQueue, WithFallback};
use crate::secrets::LocalKey;
use crate::tls::testing::{Authority, HOST, pick_port};
use crate::{BucketId, Metadata, StoreError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(600);

async fn queue_on(server: &RedisServer) -> RedisQueue {
    RedisQueue::connect(&[server.url()], None, "s3gw", 8, None).await.unwrap()
}

async fn single() -> (RedisServer, RedisQueue) {
    let server = RedisServer::start();
    let queue = queue_on(&server).await;
    (server, queue)
}

/// Two Redis servers: where marks stand matters here, not what holds them.
async fn pair() -> ((RedisServer, RedisServer), WithFallback<RedisQueue, RedisQueue>) {
    let (primary, fallback) = (RedisServer::start(), RedisServer::start());
    let queue = WithFallback::new(queue_on(&primary).await, queue_on(&fallback).await);
    ((primary, fallback), queue)
}

async fn metadata() -> (TempDir, Metadata) {
    let folder = TempDir::with_prefix("s3gw-queue").unwrap();
    let secrets = Arc::new(LocalKey::from_hex(&"5a".repeat(32)).unwrap());
    let url = format!("sqlite:{}", folder.path().join("metadata.db").display());
    let metadata = Metadata::connect(&url, 4, secrets).await.unwrap();
    metadata.migrate().await.unwrap();
    (folder, metadata)
}

async fn sqlite() -> (TempDir, SqlQueue) {
    let (folder, metadata) = metadata().await;
    (folder, metadata.sql_queue())
}

async fn redis_and_sqlite() -> ((RedisServer, TempDir), WithFallback<RedisQueue, SqlQueue>) {
    let ((server, primary), (folder, fallback)) = (single().await, sqlite().await);
    ((server, folder), WithFallback::new(primary, fallback))
}

queue_suite!(redis, async || Some(super::single().await));
queue_suite!(sqlite, async || Some(super::sqlite().await));
queue_suite!(with_fallback, async || Some(super::redis_and_sqlite().await));

fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}

#[tokio::test]
async fn killed_server_is_told_fast_and_comes_back_with_everything() {
    let (mut server, queue) = single().await;
    let (done, open) = (key_in("b", "done"), key_in("b", "open"));
    write(&queue, &done, "r1").await;
    let job = claim_one(&queue, "w1").await;
    let mark = queue.intent(&open, "r2", LONG).await.unwrap();
    server.kill9();
    let start = Instant::now();
    assert!(is_unavailable(&queue.intent(&open, "r3", LONG).await));
    assert!(is_unavailable(&queue.is_clean(&done).await));
    assert!(is_unavailable(&queue.claim("w1", 10, LONG).await));
    assert!(is_unavailable(&queue.depth().await));
    assert!(is_unavailable(&queue.ping().await));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    server.start_again();
    until("the queue is connected again", || async { queue.ping().await.ok() }).await;
    assert!(!queue.is_clean(&open).await.unwrap());
    queue.commit(&open, &mark, "r2").await.unwrap();
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    let job = claim_one(&queue, "w1").await;
    assert_eq!((&job.key, job.request_id.as_str()), (&open, "r2"));
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

/// The first question after a restart finds a broken connection; it must not become an error.
#[tokio::test]
async fn restart_between_two_questions_goes_unnoticed() {
    let (mut server, queue) = single().await;
    for n in 0..5 {
        write(&queue, &key_in("b", &format!("k{n}")), "r").await;
        server.start_again();
    }
    assert_eq!(queue.claim("w1", 10, LONG).await.unwrap().len(), 5);
}

#[tokio::test]
async fn frozen_server_is_unavailable_within_the_deadline() {
    let (server, queue) = single().await;
    write(&queue, &key_in("b", "k"), "r").await;
    server.freeze();
    let start = Instant::now();
    assert!(is_unavailable(&queue.is_clean(&key_in("b", "k")).await));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    server.thaw();
    until("the queue answers again", || async { queue.is_clean(&key_in("b", "k")).await.ok() }).await;
}

#[tokio::test]
async fn server_that_is_away_at_the_start_is_used_when_it_comes() {
    let mut server = RedisServer::start();
    server.kill9();
    let queue = queue_on(&server).await;
    assert!(is_unavailable(&queue.mark(&key_in("b", "k"), "r").await));
    server.start_again();
    until("the mark is made", || async { queue.mark(&key_in("b", "k"), "r").await.ok() }).await;
    assert!(!queue.is_clean(&key_in("b", "k")).await.unwrap());
}

/// A password that is changed there first, or more clients than the server takes: whoever was refused once comes again.
#[tokio::test]
async fn server_that_refused_the_password_is_used_when_it_takes_it() {
    let server = RedisServer::start();
    server.ask("CONFIG SET requirepass ours").unwrap();
    let url = server.url().replace("//", "//:ours@");
    let queue = RedisQueue::connect(&[url], None, "s3gw", 8, None).await.unwrap();
    queue.mark(&key_in("b", "k"), "r").await.unwrap();
    server.ask("AUTH ours\r\nCONFIG SET requirepass theirs\r\nCLIENT KILL TYPE normal").unwrap();
    until("it is refused", || async { is_unavailable(&queue.is_clean(&key_in("b", "k")).await).then_some(()) }).await;
    server.ask("AUTH theirs\r\nCONFIG SET requirepass ours").unwrap();
    assert!(!queue.is_clean(&key_in("b", "k")).await.unwrap());
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let (server, queue) = single().await;
    write(&queue, &key_in("b", "k"), "r").await;
    server.ask("SCRIPT FLUSH").unwrap();
    let job = claim_one(&queue, "w1").await;
    server.ask("SCRIPT FLUSH").unwrap();
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

#[tokio::test]
async fn another_shard_count_is_refused() {
    let (server, queue) = single().await;
    queue.mark(&key_in("b", "k"), "r").await.unwrap();
    let other = RedisQueue::connect(&[server.url()], None, "s3gw", 9, None).await.unwrap();
    assert!(matches!(other.is_clean(&key_in("b", "k")).await, Err(StoreError::Invalid(_))));
    let stranger = RedisQueue::connect(&[server.url()], None, "another", 9, None).await.unwrap();
    assert!(stranger.is_clean(&key_in("b", "k")).await.unwrap(), "prefixes keep queues apart");
}

#[tokio::test]
async fn what_cannot_be_is_refused_without_a_server() {
    let url = "redis://127.0.0.1:1".to_owned();
    for (urls, prefix, shards) in [
        (vec![], "s3gw", 8),
        (vec!["not an address".to_owned()], "s3gw", 8),
        (vec!["http://:secret@host".to_owned()], "s3gw", 8),
        (vec![url.clone()], "", 8),
        (vec![url.clone()], "a{b}", 8),
        (vec![url.clone()], "s3gw", 0),
        (vec![url], "s3gw", 100_000),
    ] {
        match RedisQueue::connect(&urls, None, prefix, shards, None).await {
            Err(StoreError::Invalid(why)) => assert!(!why.contains("secret")),
            _ => panic!("{urls:?} {prefix} {shards} was taken"),
        }
    }
    let (_server, queue) = single().await;
    assert!(matches!(queue.mark(&key_in("a/b", "k"), "r").await, Err(StoreError::Invalid(_))));
}

/// Redis Cluster refuses a script over keys of two slots, and gives each node a part of the shards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_holds_the_shards() {
    let cluster = RedisCluster::start();
    let queue = RedisQueue::connect(&cluster.urls(), None, "s3gw", 64, None).await.unwrap();
    let keys: Vec<_> = (0..60).map(|n| key_in("bucket", &format!("k{n}"))).collect();
    for k in &keys {
        write(&queue, k, "r").await;
    }
    assert!(cluster.key_counts().iter().all(|count| count != ":0"), "{:?}", cluster.key_counts());
    queue.ping().await.unwrap();
    assert_eq!(queue.depth().await.unwrap().dirty, 60);
    let (mut buried, mut cleared) = (HashSet::new(), HashSet::new());
    for job in queue.claim("w1", 20, LONG).await.unwrap() {
        queue.bury(&job, "no").await.unwrap();
        assert!(buried.insert(job.key));
    }
    assert_eq!((buried.len(), queue.dead_letters(None, 100).await.unwrap().len()), (20, 20));
    assert_eq!(queue.redrive(None).await.unwrap(), 20);
    loop {
        let jobs = queue.claim("w1", 25, LONG).await.unwrap();
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            assert!(queue.extend(&job, "w1", LONG).await.unwrap());
            assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
            assert!(cleared.insert(job.key));
        }
    }
    assert_eq!(cleared.len(), 60);
    assert!(queue.is_bucket_clean(&keys[0].bucket).await.unwrap());
}

fn cause<T>(answer: Result<T, StoreError>) -> String {
    let Err(StoreError::Unavailable(source)) = answer else { panic!("not unavailable") };
    let mut text = source.to_string();
    let mut cause = source.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

#[tokio::test]
async fn tls_is_spoken_to_whom_the_ca_vouches_for() {
    let (server, other) = (RedisServer::start_with_tls(&[]), tempfile::tempdir().unwrap());
    let own_ca = std::fs::read(server.authority().ca()).unwrap();
    let other_ca = std::fs::read(Authority::make_in(other.path()).ca()).unwrap();
    let queue = RedisQueue::connect(&[server.tls_url(HOST)], Some(&own_ca), "s3gw", 8, None).await.unwrap();
    write(&queue, &key_in("b", "k"), "r").await;
    assert_eq!(queue.clear(&claim_one(&queue, "w").await).await.unwrap(), Cleared::Clean);
    // Another CA; the system's CAs; a name that the certificate does not have.
    for (host, ca) in [(HOST, Some(&other_ca)), (HOST, None), ("localhost", Some(&own_ca))] {
        let queue = RedisQueue::connect(&[server.tls_url(host)], ca.map(Vec::as_slice), "s3gw", 8, None).await.unwrap();
        let why = cause(queue.is_clean(&key_in("b", "k")).await);
        assert!(why.contains("certificate"), "{host}: {why}");
    }
    let insecure = format!("{}/#insecure", server.tls_url(HOST));
    if let Ok(queue) = RedisQueue::connect(&[insecure], None, "s3gw", 8, None).await {
        assert!(is_unavailable(&queue.is_clean(&key_in("b", "k")).await), "verification cannot be turned off");
    }
}

#[tokio::test]
async fn tls_to_a_cluster() {
    let bus = pick_port().to_string();
    let cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus];
    let node = RedisServer::start_with_tls(&[&cluster[..], &["--cluster-announce-ip", HOST]].concat());
    assert_eq!(node.ask("CLUSTER ADDSLOTSRANGE 0 16383").unwrap(), "+OK\r\n");
    until("the node serves all slots", || async {
        node.ask("CLUSTER INFO").filter(|info| info.contains("cluster_state:ok"))
    })
    .await;
    let (urls, ca) = (vec![node.tls_url(HOST); 2], std::fs::read(node.authority().ca()).unwrap());
    let queue = RedisQueue::connect(&urls, Some(&ca), "s3gw", 8, None).await.unwrap();
    write(&queue, &key_in("b", "k"), "r").await;
    assert_eq!(queue.clear(&claim_one(&queue, "w").await).await.unwrap(), Cleared::Clean);
    let stranger = RedisQueue::connect(&urls, None, "s3gw", 8, None).await.unwrap();
    assert!(is_unavailable(&stranger.is_clean(&key_in("b", "k")).await));
}

#[tokio::test]
async fn a_ca_that_is_none_or_has_no_use_is_refused() {
    for (url, ca) in [
        ("rediss://h", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("rediss://h", ""),
        ("redis://h", ""),
    ] {
        for nodes in [1, 2] {
            let refused = RedisQueue::connect(&vec![url.to_owned(); nodes], Some(ca.as_bytes()), "s3gw", 8, None).await;
            let Err(StoreError::Invalid(why)) = refused else { panic!("{url} was taken") };
            assert!(why.contains("CA"), "{why}");
        }
    }
}

#[tokio::test]
async fn mark_goes_to_the_fallback_and_is_moved_back() {
    let ((mut primary, _folder), queue) = redis_and_sqlite().await;
    let (before, meanwhile) = (key_in("b", "before"), key_in("b", "meanwhile"));
    // Its commit will not reach Redis, where the lease has to run out by itself.
    let mark_before = queue.intent(&before, "r1", Duration::from_secs(3)).await.unwrap();
    assert_eq!(mark_before.holder, Holder::Redis);
    queue.ping().await.unwrap();
    primary.kill9();
    let start = Instant::now();
    let mark = queue.intent(&meanwhile, "r2", LONG).await.unwrap();
    assert_eq!(mark.holder, Holder::Sql);
    queue.commit(&meanwhile, &mark, "r2").await.unwrap();
    queue.commit(&before, &mark_before, "r1").await.unwrap();
    for _ in 0..20 {
        write(&queue, &meanwhile, "r3").await;
    }
    assert!(start.elapsed() < Duration::from_secs(6), "a dead server was asked too often: {:?}", start.elapsed());
    assert!(!queue.is_clean(&meanwhile).await.unwrap());
    assert!(is_unavailable(&queue.is_clean(&key_in("b", "never written")).await), "no answer is no proof");
    assert!(is_unavailable(&queue.is_bucket_clean(&key_in("c", "k").bucket).await));
    assert!(is_unavailable(&queue.ping().await), "the fallback is no answer of the queue's");
    // Worked on while Redis is away, but not cleared without it.
    let jobs = queue.claim("w1", 10, Duration::from_millis(500)).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.holder).collect::<Vec<_>>(), [Holder::Sql, Holder::Sql]);
    for job in &jobs {
        assert_eq!(queue.clear(job).await.unwrap(), Cleared::Requeued);
    }
    primary.start_again();
    until("both keys are clean", || async {
        for job in queue.claim("w1", 10, Duration::from_millis(500)).await.unwrap() {
            queue.clear(&job).await.unwrap();
        }
        (queue.is_clean(&before).await.unwrap_or(false) && queue.is_clean(&meanwhile).await.unwrap_or(false))
            .then_some(())
    })
    .await;
    assert_eq!(queue.depth().await.unwrap().dirty, 0);
}

#[tokio::test]
async fn commit_of_a_mark_in_the_fallback_succeeds_without_it() {
    let ((mut primary, mut fallback), queue) = pair().await;
    let k = key_in("b", "k");
    primary.kill9();
    let mark = queue.intent(&k, "r", LONG).await.unwrap();
    assert_eq!(mark.holder, Holder::Sql);
    primary.start_again();
    fallback.kill9();
    until("the commit is taken by Redis", || async { queue.commit(&k, &mark, "r").await.ok() }).await;
    assert!(is_unavailable(&queue.is_clean(&k).await));
    queue.release(&k, &mark).await.unwrap();
    primary.kill9();
    assert!(is_unavailable(&queue.intent(&k, "r", LONG).await), "both away: the write is refused");
    assert!(is_unavailable(&queue.commit(&k, &mark, "r").await), "no commit, no success");
}

#[tokio::test]
async fn lease_is_renewed_elsewhere_while_its_holder_is_away() {
    let ((mut primary, _folder), queue) = redis_and_sqlite().await;
    let k = key_in("b", "k");
    let mark = queue.intent(&k, "r", LONG).await.unwrap();
    primary.kill9();
    queue.renew(&k, &mark, LONG).await.unwrap();
    let jobs = queue.claim("w1", 1, LONG).await.unwrap();
    assert!(jobs.is_empty(), "its own lease is alive: {jobs:?}");
    primary.start_again();
    until("the commit is taken", || async { queue.commit(&k, &mark, "r").await.ok() }).await;
    let dirty = until("Redis answers", || async { queue.is_clean(&k).await.ok() }).await;
    assert!(!dirty);
}

/// A server that was started anew is not believed about what it does not know, from its first answer on.
#[tokio::test]
async fn a_server_that_may_have_forgotten_proves_nothing() {
    let (mut server, (_folder, metadata)) = (RedisServer::start(), metadata().await);
    let queue = RedisQueue::connect(&[server.url()], None, "s3gw", 8, Some(metadata.clone())).await.unwrap();
    let (k, b) = (key_in("b", "k"), BucketId::new("b"));
    assert!(!queue.is_clean(&k).await.unwrap(), "nobody has heard of this server");
    let first = queue.servers().await.unwrap();
    assert_eq!(first.len(), 1);
    assert!(!metadata.note_queue_servers(&first, Duration::ZERO).await.unwrap());
    assert!(queue.is_clean(&k).await.unwrap() && queue.is_bucket_clean(&b).await.unwrap());
    write(&queue, &k, "r").await;
    assert!(!queue.is_clean(&k).await.unwrap() && queue.is_marked(&k).await.unwrap());
    server.start_again();
    until("it is back", || async { queue.is_marked(&key_in("b", "other")).await.ok().filter(|marked| !marked) }).await;
    assert!(!queue.is_clean(&key_in("b", "other")).await.unwrap());
    assert!(!queue.is_bucket_clean(&BucketId::new("other")).await.unwrap());
    let second = queue.servers().await.unwrap();
    assert_ne!(first, second);
    assert!(metadata.note_queue_servers(&second, Duration::ZERO).await.unwrap());
    assert!(!queue.is_clean(&key_in("b", "other")).await.unwrap(), "known, and still suspect");
    assert!(!queue.proves(&b).await.unwrap());
    let asked = metadata.queue_servers_due().await.unwrap().unwrap();
    metadata.settle_queue_servers(asked).await.unwrap();
    metadata.begin_suspect_walks(1, 0, &mut None).await.unwrap();
    assert!(queue.proves(&b).await.unwrap());
    assert!(queue.is_clean(&key_in("b", "other")).await.unwrap(), "there is no bucket that it could have forgotten");
    assert!(!queue.is_clean(&k).await.unwrap(), "what it knows it knows");
}

/// What a worker saw before a server had settled may be older than what has landed since.
#[tokio::test]
async fn whoever_has_claimed_a_key_before_looks_at_it_once_more() {
    let (_server, queue) = single().await;
    let (dead, k, waiting) = (key_in("b", "dead"), key_in("b", "k"), key_in("b", "waiting"));
    write(&queue, &dead, "r").await;
    queue.bury(&claim_one(&queue, "w1").await, "no").await.unwrap();
    write(&queue, &k, "r").await;
    let job = claim_one(&queue, "w1").await;
    queue.intent(&waiting, "r", LONG).await.unwrap();
    queue.settle().await.unwrap();
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued);
    assert_eq!(queue.dead_letters(None, 10).await.unwrap().len(), 0, "what was given up is looked at again, too");
    let mut jobs = queue.claim("w1", 10, LONG).await.unwrap();
    jobs.sort_by(|one, other| one.key.key.as_str().cmp(other.key.key.as_str()));
    let claimed: Vec<_> = jobs.iter().map(|job| &job.key).collect();
    assert_eq!(claimed, [&dead, &k], "what nobody has claimed is as it was");
    for job in &jobs {
        assert_eq!(queue.clear(job).await.unwrap(), Cleared::Clean);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_servers_of_a_cluster_are_named() {
    let cluster = RedisCluster::start();
    let queue = RedisQueue::connect(&cluster.urls(), None, "s3gw", 64, None).await.unwrap();
    assert_eq!(queue.servers().await.unwrap().len(), 3);
}

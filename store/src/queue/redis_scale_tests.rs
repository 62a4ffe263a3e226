//! The Redis queue with many shards, many buckets and many keys: sharing, fairness, memory.
use super::suite::{key_in, write};
use super::testing::{RedisCluster, RedisServer, until};
use super::{Cleared, DirtyKey, Lane, Queue, RedisQueue};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(600);
const HOLD: Duration = Duration::from_millis(600);

async fn queue_on(urls: &[String], shards: u32) -> RedisQueue {
    RedisQueue::connect(urls, None, "s3gw", shards, None).await.unwrap()
}

/// Two workers end with equal shares, also where the first one had all; a third changes that, and one that dies gives back.
async fn shares_follow_the_workers(urls: &[String]) {
    let queues = [queue_on(urls, 32).await, queue_on(urls, 32).await, queue_on(urls, 32).await];
    let [one, two, three] = &queues;
    assert_eq!(one.attend("one", HOLD).await.unwrap(), 32);
    let attend = |workers: Vec<(&'static str, RedisQueue)>, want: Vec<usize>| async move {
        until("the shares are equal", || async {
            let mut holds = Vec::new();
            for (name, queue) in &workers {
                holds.push(queue.attend(name, HOLD).await.unwrap());
            }
            (holds == want).then_some(())
        })
        .await;
    };
    attend(vec![("one", one.clone()), ("two", two.clone())], vec![16, 16]).await;
    attend(vec![("one", one.clone()), ("two", two.clone()), ("three", three.clone())], vec![11, 11, 10]).await;
    // `three` is heard of no more; `one` says that it goes.
    attend(vec![("one", one.clone()), ("two", two.clone())], vec![16, 16]).await;
    one.leave("one").await.unwrap();
    assert_eq!(two.attend("two", HOLD).await.unwrap(), 32, "what was given back is free at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_are_shared_on_one_server() {
    let server = RedisServer::start();
    shares_follow_the_workers(&[server.url()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_are_shared_in_a_cluster() {
    let cluster = RedisCluster::start();
    shares_follow_the_workers(&cluster.urls()).await;
    let queue = queue_on(&cluster.urls(), 32).await;
    let keys: Vec<DirtyKey> = (0..500).map(|n| key_in("b", &format!("k{n}"))).collect();
    queue.mark_all(&keys, "r").await.unwrap();
    let mut cleared = HashSet::new();
    until("all keys are clean", || async {
        let jobs = queue.claim("two", 50, LONG).await.unwrap();
        let mut done = Vec::new();
        for job in jobs {
            assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
            done.push(job.key);
        }
        Some(done).filter(Vec::is_empty)
    })
    .await;
    cleared.extend(keys);
    assert_eq!((cleared.len(), queue.depth().await.unwrap().dirty), (500, 0));
}

/// Half of three dozen workers go silent with jobs in their hands: the others have all shards and all keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dozens_of_workers_share_all_work() {
    const WORKERS: usize = 36;
    const LEASE: Duration = Duration::from_millis(300);
    let server = RedisServer::start();
    let mut workers = Vec::new();
    for n in 0..WORKERS {
        workers.push((format!("w{n}"), queue_on(&[server.url()], 64).await));
    }
    let share = async |workers: &[(String, RedisQueue)]| {
        let most = 64_usize.div_ceil(workers.len());
        until("every shard is held, and no worker holds more than its share", || async {
            let holds = workers.iter().map(|(name, queue)| queue.attend(name, HOLD));
            let holds = futures::future::try_join_all(holds).await.unwrap();
            let is_fair = holds.iter().all(|held| *held <= most);
            (is_fair && holds.iter().sum::<usize>() == 64).then_some(())
        })
        .await;
    };
    share(&workers).await;
    let keys: Vec<DirtyKey> = (0..2000).map(|n| key_in("b", &format!("k{n}"))).collect();
    workers[0].1.mark_all(&keys, "r").await.unwrap();
    let silent = workers.split_off(WORKERS / 2);
    let lost = silent.iter().map(|(name, queue)| queue.claim(name, 10, LEASE));
    let lost: usize = futures::future::try_join_all(lost).await.unwrap().iter().map(Vec::len).sum();
    assert!(lost > 100, "{lost} jobs in the hands of the silent");
    let work = |name: String, queue: RedisQueue| async move {
        let mut cleared = Vec::new();
        while queue.depth().await.unwrap().dirty > 0 {
            queue.attend(&name, HOLD).await.unwrap();
            for job in queue.claim(&name, 20, LEASE).await.unwrap() {
                if queue.clear(&job).await.unwrap() == Cleared::Clean {
                    cleared.push(job.key);
                }
            }
        }
        cleared
    };
    let cleared: HashSet<DirtyKey> =
        futures::future::join_all(workers.iter().cloned().map(|(name, queue)| work(name, queue)))
            .await
            .into_iter()
            .flatten()
            .collect();
    assert_eq!(cleared, keys.into_iter().collect());
    share(&workers).await;
}

#[tokio::test]
async fn a_worker_asks_its_own_shards_first() {
    let server = RedisServer::start();
    let (one, two) = (queue_on(&[server.url()], 32).await, queue_on(&[server.url()], 32).await);
    for _ in 0..2 {
        one.attend("one", LONG).await.unwrap();
        two.attend("two", LONG).await.unwrap();
    }
    let keys: Vec<DirtyKey> = (0..640).map(|n| key_in("b", &format!("k{n}"))).collect();
    one.mark_all(&keys, "r").await.unwrap();
    let (first, second) = (one.claim("one", 1000, LONG).await.unwrap(), two.claim("two", 1000, LONG).await.unwrap());
    assert_eq!(first.len() + second.len(), 640);
    assert!(first.len() > 200 && second.len() > 200, "{} and {}", first.len(), second.len());
}

/// A bucket with a burst does not keep another's few keys waiting, new or old, and its own come back in their order.
#[tokio::test]
async fn buckets_take_turns() {
    let server = RedisServer::start();
    let queue = queue_on(&[server.url()], 1).await;
    let burst: Vec<DirtyKey> = (0..5000).map(|n| key_in("burst", &format!("{n:05}"))).collect();
    queue.mark_all(&burst, "r").await.unwrap();
    let taken = queue.claim("w", 100, LONG).await.unwrap();
    for n in 0..10 {
        write(&queue, &key_in("few", &format!("{n}")), "r").await;
        write(&queue, &key_in(&format!("one-{n}"), "k"), "r").await;
    }
    let next = queue.claim("w", 60, LONG).await.unwrap();
    let mut of: HashMap<String, usize> = HashMap::new();
    for job in &next {
        *of.entry(job.key.bucket.as_str().to_owned()).or_default() += 1;
    }
    assert_eq!(of["few"], 10, "{of:?}");
    assert!((0..10).all(|n| of[&format!("one-{n}")] == 1), "{of:?}");
    // A failure comes back soon, though 4,800 keys of its bucket are before it.
    queue.retry(&taken[0], Duration::ZERO).await.unwrap();
    let again = queue.claim("w", 10, LONG).await.unwrap();
    assert!(again.iter().any(|job| job.key == taken[0].key), "{again:?}");
    // Keys that are written all the time do not keep others waiting.
    let mut hot = queue.claim("w", 50, LONG).await.unwrap();
    let quiet = key_in("quiet", "k");
    queue.mark(&quiet, "r").await.unwrap();
    let mut rounds = 0;
    while !hot.iter().any(|job| job.key == quiet) {
        for job in &hot {
            queue.mark(&job.key, "r").await.unwrap();
            queue.clear(job).await.unwrap();
        }
        hot = queue.claim("w", 50, LONG).await.unwrap();
        rounds += 1;
        assert!(rounds < 5, "the quiet bucket is never served");
    }
}

/// However many streams are empty: those that are not are served as often as each other, by claims of one lane or of both in turn.
#[tokio::test]
async fn streams_are_served_equally_whichever_they_are() {
    let server = RedisServer::start();
    let queue = queue_on(&[server.url()], 1).await;
    // By the number of its tenant, with which its id ends, each has a flow of its own.
    let buckets = ["b-0000", "b-0001", "b-0002"];
    for bucket in buckets {
        let keys: Vec<DirtyKey> = (0..40).map(|n| key_in(bucket, &format!("k{n}"))).collect();
        queue.mark_all(&keys, "r").await.unwrap();
    }
    for asks_for_large in [false, true] {
        let mut of: HashMap<String, usize> = HashMap::new();
        for _ in 0..30 {
            if asks_for_large {
                assert!(queue.claim_in(Lane::Large, "w", 1, LONG).await.unwrap().is_empty());
            }
            let job = queue.claim_in(Lane::Small, "w", 1, LONG).await.unwrap().remove(0);
            *of.entry(job.key.bucket.as_str().to_owned()).or_default() += 1;
        }
        assert_eq!(of, buckets.map(|bucket| (bucket.to_owned(), 10)).into());
    }
}

#[tokio::test]
async fn a_queue_of_another_layout_is_refused() {
    let server = RedisServer::start();
    server.ask("SET s3gw:shards 8").unwrap();
    let queue = queue_on(&[server.url()], 8).await;
    let Err(crate::StoreError::Invalid(why)) = queue.mark(&key_in("b", "k"), "r").await else { panic!("it was taken") };
    assert!(why.contains("another version"), "{why}");
}

/// `MARKS=1000000 cargo test -p s3gateway-store --release a_burst -- --nocapture` prints the figures of docs/replication/queue.md.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_taken_and_costs_a_bounded_memory() {
    let count: usize = std::env::var("MARKS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let server = RedisServer::start();
    let queue = queue_on(&[server.url()], 64).await;
    let used = || {
        let info = server.ask("INFO memory").unwrap();
        let line = info.lines().find(|line| line.starts_with("used_memory:")).unwrap().to_owned();
        line.trim_start_matches("used_memory:").parse::<usize>().unwrap()
    };
    assert!(queue.is_clean(&key_in("b", "k")).await.unwrap());
    let empty = used();
    // A bucket id as they are, and keys of 30 bytes.
    let bucket = "0199f7a2-5c1e-7a40-b1c5-0123456789ab";
    let keys: Vec<DirtyKey> = (0..count).map(|n| key_in(bucket, &format!("photos/2026/11/img-{n:010}"))).collect();
    let began = Instant::now();
    for some in keys.chunks(10_000) {
        queue.mark_all(some, "0199f7a2-5c1e-7a40-b1c5-ba9876543210").await.unwrap();
    }
    let marked = began.elapsed();
    let each = (used() - empty) / count;
    let began = Instant::now();
    let some = keys.get(..count.min(20_000)).unwrap();
    for chunk in some.chunks(64) {
        futures::future::try_join_all(chunk.iter().map(|key| queue.mark(key, "r"))).await.unwrap();
    }
    let singly = began.elapsed();
    let began = Instant::now();
    let mut drained = 0;
    while drained < count.min(50_000) {
        let jobs = queue.claim("w", 64, LONG).await.unwrap();
        assert!(!jobs.is_empty());
        drained += jobs.len();
        futures::future::try_join_all(jobs.iter().map(|job| queue.clear(job))).await.unwrap();
    }
    let rate = |number: usize, took: Duration| number as f64 / took.as_secs_f64();
    println!(
        "{count} keys: {:.0} marks/s together, {:.0} marks/s singly (64 at a time), {:.0} jobs/s claimed and cleared, {each} bytes a dirty key",
        rate(count, marked),
        rate(some.len(), singly),
        rate(drained, began.elapsed()),
    );
    assert!(each < 500, "{each} bytes a key");
    assert!(queue.claim_in(Lane::Large, "w", 1, LONG).await.unwrap().is_empty());
}

//! What the control plane said, in memory: bounded, cheap to ask, and a miss asks the store once for all who wait.
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use quick_cache::{Equivalent, sync};
use s3gateway_store::StoreError;
use std::{collections::HashMap, future::Future, hash::Hash, sync::Arc, time::Instant};

/// A value and when its look-up began: it is as old as that.
#[derive(Clone)]
pub(crate) struct Loaded<V> {
    pub(crate) began: Instant,
    pub(crate) value: V,
}

/// A cache of look-ups, for at most a set number of keys.
pub(crate) struct Cache<K, V> {
    held: sync::Cache<K, Loaded<V>>,
    running: Mutex<Running<K, V>>,
}

/// Look-ups, each with when it began.
type Running<K, V> = HashMap<K, (Instant, LookUp<V>)>;
type LookUp<V> = Shared<BoxFuture<'static, Result<Loaded<V>, Arc<StoreError>>>>;

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(entries: u64) -> Self {
        Self { held: sync::Cache::new(usize::try_from(entries).unwrap_or(usize::MAX)), running: Mutex::default() }
    }

    /// What is held for a key.
    pub(crate) fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> Option<Loaded<V>> {
        self.held.get(key)
    }

    /// Looks a key up and holds what is found; who asks meanwhile waits for the same answer, and an error is everyone's.
    ///
    /// Cancel: the others who wait carry on; where there is none, the look-up is dropped.
    pub(crate) async fn load<F>(&self, key: K, look_up: F) -> Result<Loaded<V>, Arc<StoreError>>
    where
        F: Future<Output = Result<V, StoreError>> + Send + 'static,
    {
        let began = Instant::now();
        let begin = || (began, async move { Ok(Loaded { began, value: look_up.await? }) }.boxed().shared());
        let look_up = self.running.lock().entry(key.clone()).or_insert_with(begin).1.clone();
        let waiter = Waiter { running: &self.running, key: &key, look_up };
        let result = waiter.look_up.clone().await;
        waiter.finish(|| {
            if let Ok(loaded) = &result {
                self.held.insert(key.clone(), loaded.clone());
            }
        });
        result
    }

    /// Drops one key, unless its look-up began after `changed`; what is being looked up so is not held afterwards.
    pub(crate) fn forget(&self, key: &K, changed: Instant) -> bool {
        let mut running = self.running.lock();
        if running.get(key).is_some_and(|(began, _)| *began <= changed) {
            running.remove(key);
        }
        self.held.remove_if(key, |loaded| loaded.began <= changed).is_some()
    }

    /// Drops the keys that match, unless their look-up began after `changed`; what is being looked up so is not held
    /// afterwards.
    pub(crate) fn forget_where(&self, changed: Instant, matches: impl Fn(&K) -> bool) {
        let mut running = self.running.lock();
        running.retain(|key, (began, _)| *began > changed || !matches(key));
        self.held.retain(|key, loaded| loaded.began > changed || !matches(key));
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        let mut running = self.running.lock();
        running.clear();
        self.held.clear();
    }
}

/// One who waits for a look-up.
struct Waiter<'c, K: Hash + Eq, V> {
    running: &'c Mutex<Running<K, V>>,
    key: &'c K,
    look_up: LookUp<V>,
}

impl<K: Hash + Eq, V> Waiter<'_, K, V> {
    /// Takes the look-up off the list, and calls `first` where this waiter was the first to do so; nothing is forgotten in
    /// between.
    fn finish(&self, first: impl FnOnce()) {
        let mut running = self.running.lock();
        if running.get(self.key).is_some_and(|(_, listed)| listed.ptr_eq(&self.look_up)) {
            running.remove(self.key);
            first();
        }
    }
}

impl<K: Hash + Eq, V> Drop for Waiter<'_, K, V> {
    fn drop(&mut self) {
        // The list's own and this one: nobody else waits.
        if self.look_up.strong_count() == Some(2) {
            self.finish(|| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_miss_asks_once_for_all_who_wait_and_then_answers_from_memory() {
        let cache = Arc::new(Cache::<String, u32>::new(10));
        let (asked, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let (cache, asked, go) = (cache.clone(), asked.clone(), go.clone());
                tokio::spawn(async move {
                    let look_up = async move {
                        asked.fetch_add(1, Ordering::SeqCst);
                        go.notified().await;
                        Ok(7)
                    };
                    cache.load("a".to_owned(), look_up).await.unwrap().value
                })
            })
            .collect();
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap(), 7);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(cache.get("a").unwrap().value, 7);
    }

    #[tokio::test]
    async fn a_failed_look_up_is_not_held() {
        let cache = Cache::<u32, u32>::new(10);
        assert!(cache.load(1, async { Err(StoreError::NotFound) }).await.is_err());
        assert!(cache.get(&1).is_none());
        assert_eq!(cache.load(1, async { Ok(2) }).await.unwrap().value, 2);
    }

    #[tokio::test]
    async fn a_look_up_that_nobody_waits_for_is_dropped() {
        let cache = Cache::<u32, u32>::new(10);
        assert!(cache.load(1, std::future::pending()).now_or_never().is_none());
        assert!(cache.running.lock().is_empty());
        assert_eq!(cache.load(1, async { Ok(2) }).await.unwrap().value, 2);
    }

    #[tokio::test]
    async fn what_is_looked_up_while_it_changes_is_not_held() {
        // Each with whether what is looked up is held all the same, as it began after the change.
        type Way = fn(&Cache<u32, u32>, Instant);
        let ways: [(Way, bool); 5] = [
            (|cache, _| _ = cache.forget(&1, Instant::now()), false),
            (|cache, _| cache.forget_where(Instant::now(), |key| *key == 1), false),
            (|cache, _| cache.clear(), false),
            (|cache, before| _ = cache.forget(&1, before), true),
            (|cache, before| cache.forget_where(before, |key| *key == 1), true),
        ];
        for (forget, is_held) in ways {
            let before = Instant::now() - std::time::Duration::from_millis(1);
            let (cache, go) = (Arc::new(Cache::<u32, u32>::new(10)), Arc::new(Notify::new()));
            let waiting = tokio::spawn({
                let (cache, go) = (cache.clone(), go.clone());
                let look_up = async move {
                    go.notified().await;
                    Ok(7)
                };
                async move { cache.load(1, look_up).await.unwrap().value }
            });
            while cache.running.lock().is_empty() {
                tokio::task::yield_now().await;
            }
            forget(&cache, before);
            go.notify_one();
            assert_eq!(waiting.await.unwrap(), 7);
            assert_eq!(cache.get(&1).is_some(), is_held);
        }
    }

    #[tokio::test]
    async fn what_was_looked_up_after_a_change_stays() {
        let cache = Cache::<u32, u32>::new(10);
        let began = cache.load(1, async { Ok(1) }).await.unwrap().began;
        let earlier = began - std::time::Duration::from_millis(1);
        assert!(!cache.forget(&1, earlier));
        cache.forget_where(earlier, |_| true);
        cache.forget_where(began, |key| *key != 1);
        assert!(cache.get(&1).is_some());
        assert!(cache.forget(&1, began));
        assert!(cache.get(&1).is_none());
    }
}

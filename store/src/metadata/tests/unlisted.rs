//! The journal of writes that no listing shows.
use super::{Fixture, in_a_minute, now, object};
use crate::{BucketId, DirtyKey, Metadata, StoreError};

async fn all(m: &Metadata, page: u32) -> Vec<DirtyKey> {
    let mut found: Vec<DirtyKey> = Vec::new();
    loop {
        let keys = m.renote_unlisted_writes(found.last(), page).await.unwrap();
        assert!(keys.len() <= page as usize);
        if keys.is_empty() {
            return found;
        }
        found.extend(keys);
    }
}

pub(super) async fn unlisted_writes_are_noted_once_a_key_and_read_in_pages(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (one, two) = (f.bucket(&tenant, "one").await.bucket, f.bucket(&tenant, "two").await.bucket);
    assert!(m.renote_unlisted_writes(None, 10).await.unwrap().is_empty());
    let mut want: Vec<(&BucketId, &str)> = Vec::new();
    for bucket in [&one, &two] {
        for key in ["a", "b", "\u{1}", "ä", "z/y"] {
            m.note_unlisted_write(bucket, &object(key)).await.unwrap();
            m.note_unlisted_write(bucket, &object(key)).await.unwrap();
            want.push((bucket, key));
        }
    }
    want.sort();
    for page in [1, 3, 10, 1000] {
        let found = all(m, page).await;
        let mut got: Vec<(&BucketId, &str)> = found.iter().map(|found| (&found.bucket, found.key.as_str())).collect();
        got.sort();
        assert_eq!(got, want, "in pages of {page}");
    }
    let nowhere = BucketId::new("nowhere");
    assert!(matches!(m.note_unlisted_write(&nowhere, &object("a")).await, Err(StoreError::NotFound)));
}

pub(super) async fn unlisted_writes_go_when_they_are_old_and_not_when_noted_anew(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let bucket = f.bucket(&tenant, "photos").await.bucket;
    for key in ["a", "b", "c"] {
        m.note_unlisted_write(&bucket, &object(key)).await.unwrap();
    }
    let noted = now();
    super::until("a millisecond has passed", || async { now() > noted }).await;
    assert_eq!(m.prune_unlisted_writes(noted - 60_000, 10).await.unwrap(), 0, "they are younger");
    assert_eq!(m.renote_unlisted_writes(None, 1).await.unwrap().len(), 1);
    m.note_unlisted_write(&bucket, &object("b")).await.unwrap();
    assert_eq!(m.prune_unlisted_writes(noted + 1, 10).await.unwrap(), 1, "the others were noted anew");
    assert_eq!(all(m, 10).await.len(), 2);
    assert_eq!(m.prune_unlisted_writes(in_a_minute(), 1).await.unwrap(), 1, "as many as asked for");
    assert_eq!(m.prune_unlisted_writes(in_a_minute(), 5).await.unwrap(), 1);
    assert!(all(m, 10).await.is_empty());
}

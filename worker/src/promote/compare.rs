//! Compares what two backends list of a bucket: keys, sizes and ETags, as clients would see them.
use super::Halt;
use super::patience::Patience;
use crate::backend::Remote;
use crate::object::unquote;
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::Route;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Differences at which a comparison ends: they are dealt with first.
const MOST: usize = 1000;
/// Keys of one page.
const PAGE: i32 = 1000;

/// One listed object: its key, ETag and size.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    etag: String,
    size: u64,
}

/// A listing, a page at a time.
struct Listing<'a> {
    patience: Patience<'a>,
    remote: &'a Remote,
    bucket: &'a PhysicalBucket,
    page: VecDeque<Entry>,
    /// The last key of all pages so far.
    after: String,
    is_over: bool,
}

/// What a comparison has found.
pub(super) struct Compared {
    /// Keys that the two do not hold alike, in byte order.
    pub(super) differing: Vec<ObjectKey>,
    /// Whether it came to the end of both, rather than to the most that are dealt with at once.
    pub(super) is_whole: bool,
}

/// Compares the two key by key.
pub(super) async fn compare(
    patience: Patience<'_>,
    route: &Route,
    home: &Remote,
    other: &Remote,
) -> Result<Compared, Halt> {
    let (at_home, at_other) = (physical(route, home)?, physical(route, other)?);
    let (mut left, mut right) = (Listing::of(patience, home, at_home), Listing::of(patience, other, at_other));
    let (mut mine, mut theirs) = (left.next().await?, right.next().await?);
    let mut differing = Vec::new();
    while differing.len() < MOST {
        let order = match (&mine, &theirs) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(mine), Some(theirs)) => mine.key.as_bytes().cmp(theirs.key.as_bytes()),
        };
        if mine != theirs {
            let key = if order == Ordering::Greater { &theirs } else { &mine };
            differing.extend(key.as_ref().and_then(|entry| ObjectKey::parse(&entry.key).ok()));
        }
        if order != Ordering::Greater {
            mine = left.next().await?;
        }
        if order != Ordering::Less {
            theirs = right.next().await?;
        }
    }
    Ok(Compared { is_whole: differing.len() < MOST, differing })
}

/// How one key stands at the home and at the target.
pub(super) enum Held {
    /// The same at both, or nothing.
    Alike,
    /// Something else, or at the home alone.
    Otherwise,
    /// At the target alone.
    AtTargetAlone,
}

/// How the two hold one key.
pub(super) async fn held_at(
    patience: Patience<'_>,
    route: &Route,
    home: &Remote,
    target: &Remote,
    key: &ObjectKey,
) -> Result<Held, Halt> {
    Ok(match (held(patience, route, home, key).await?, held(patience, route, target, key).await?) {
        (mine, theirs) if mine == theirs => Held::Alike,
        (None, Some(_)) => Held::AtTargetAlone,
        _ => Held::Otherwise,
    })
}

/// ETag and size of a key on one backend.
async fn held(
    patience: Patience<'_>,
    route: &Route,
    remote: &Remote,
    key: &ObjectKey,
) -> Result<Option<(String, u64)>, Halt> {
    let bucket = physical(route, remote)?;
    Ok(patience.ask(|| remote.head(bucket, key)).await?.map(|object| (object.etag, object.size)))
}

fn physical<'r>(route: &'r Route, remote: &Remote) -> Result<&'r PhysicalBucket, Halt> {
    let id = &remote.backend.id;
    route.physical_on(id).ok_or_else(|| Halt::Refused(format!("the bucket has no name on {id}")))
}

impl<'a> Listing<'a> {
    fn of(patience: Patience<'a>, remote: &'a Remote, bucket: &'a PhysicalBucket) -> Self {
        Self { patience, remote, bucket, page: VecDeque::new(), after: String::new(), is_over: false }
    }

    async fn next(&mut self) -> Result<Option<Entry>, Halt> {
        while self.page.is_empty() && !self.is_over {
            let (remote, bucket, after) = (self.remote, self.bucket, self.after.as_str());
            let page = || async move {
                let (objects, more) = remote.page_of_objects(bucket, after, PAGE).await?;
                if more && objects.is_empty() { Err(remote.unreadable("ListObjectsV2")) } else { Ok((objects, more)) }
            };
            let (objects, more) = self.patience.ask(page).await?;
            if let Some(last) = objects.last() {
                self.after.clone_from(&last.key);
            }
            self.page.extend(objects.into_iter().map(|object| Entry {
                etag: unquote(&object.etag).to_owned(),
                key: object.key,
                size: object.size,
            }));
            self.is_over = !more;
        }
        Ok(self.page.pop_front())
    }
}

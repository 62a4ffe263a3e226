//! What a simulated backend holds: one bucket of objects, and uploads that are not complete.
use bytes::Bytes;
use md5::{Digest, Md5};
use std::collections::BTreeMap;

pub type Words = BTreeMap<String, String>;

/// One object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub body: Bytes,
    /// Without quotes.
    pub etag: String,
    /// Lengths of its parts; none where it was put at once.
    pub parts: Vec<usize>,
    /// Content headers and user metadata.
    pub headers: Words,
    pub tags: Words,
    /// Virtual milliseconds; 0 before it is kept anywhere.
    pub modified: u64,
}

/// One multipart upload.
#[derive(Clone, Debug)]
pub struct Upload {
    pub key: String,
    pub headers: Words,
    pub parts: BTreeMap<i32, Bytes>,
}

/// A bucket.
#[derive(Debug, Default)]
pub struct Held {
    pub has_bucket: bool,
    pub objects: BTreeMap<String, Stored>,
    /// By upload id, whose order is that in which they were begun.
    pub uploads: BTreeMap<String, Upload>,
    pub begun_uploads: u32,
    /// What a listing shows that is behind the truth.
    pub shown: Vec<Shown>,
    /// Virtual milliseconds, as of the latest request.
    pub now: u64,
}

/// A line of a listing.
#[derive(Clone, Debug)]
pub struct Shown {
    pub key: String,
    pub etag: String,
    pub size: usize,
    pub modified: u64,
}

impl Stored {
    /// Put at once.
    pub fn whole(body: Bytes, headers: Words, tags: Words) -> Self {
        Self { etag: hex::encode(Md5::digest(&body)), body, parts: Vec::new(), headers, tags, modified: 0 }
    }

    /// Put in parts.
    pub fn of_parts(parts: &[Bytes], headers: Words) -> Self {
        let digests: Vec<u8> = parts.iter().flat_map(|part| Md5::digest(part).to_vec()).collect();
        let etag = format!("{}-{}", hex::encode(Md5::digest(&digests)), parts.len());
        let lengths = parts.iter().map(Bytes::len).collect();
        Self { body: parts.concat().into(), etag, parts: lengths, headers, tags: Words::new(), modified: 0 }
    }

    /// Whether it is what a copy of `home` must be. A content type that the home has not may be made up.
    pub fn is_copy_of(&self, home: &Self) -> bool {
        let mut headers = self.headers.clone();
        if !home.headers.contains_key("content-type") {
            headers.retain(|name, value| name != "content-type" || !value.ends_with("/octet-stream"));
        }
        self.body == home.body && headers == home.headers && self.tags == home.tags
    }

    /// As a backend shows it that encrypts with a key of its key management: under an ETag that is no MD5 of anything known.
    pub fn encrypted(self) -> Self {
        let (digest, count) =
            self.etag.split_once('-').map_or((&*self.etag, None), |(digest, count)| (digest, Some(count)));
        let other = hex::encode(Md5::digest(format!("encrypted {digest}")));
        Self { etag: count.map_or(other.clone(), |count| format!("{other}-{count}")), ..self }
    }

    /// Other bytes of the same length.
    pub fn corrupted(&self) -> Bytes {
        self.body.iter().map(|byte| byte ^ 0x20).collect()
    }
}

impl Held {
    /// What a listing shows: the truth, or what it was when somebody last listed.
    pub fn list(&mut self, is_stale: bool) -> Vec<Shown> {
        if !is_stale {
            let row = |(key, object): (&String, &Stored)| Shown {
                key: key.clone(),
                etag: object.etag.clone(),
                size: object.body.len(),
                modified: object.modified,
            };
            self.shown = self.objects.iter().map(row).collect();
        }
        self.shown.clone()
    }

    /// Keeps an object from now on.
    pub fn keep(&mut self, key: &str, stored: Stored) {
        self.objects.insert(key.to_owned(), Stored { modified: self.now, ..stored });
    }
}

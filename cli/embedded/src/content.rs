//! Bytes in files: each file is written once under a random id, never changed, and unlinked when no row names it.
//!
//! A row may name a file only once the file and its folder are on the disk. Files that no row names are swept at start.
use crate::{
    checksums::{Digests, Hashes},
    error::Internal,
    store::OpenError,
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use s3s::{S3Result, dto::StreamingBlob, s3_error};
use sqlx::SqlitePool;
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter, SeekFrom},
    sync::{RwLock, RwLockReadGuard, mpsc},
};

/// The most that PutObject and UploadPart take (User Guide, "Uploading objects").
pub const MAX_SIZE: u64 = 5 << 30;
const BLOCK: usize = 256 << 10;
/// Blocks that are read ahead of a slow client.
const READ_AHEAD: usize = 2;

/// A range of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The file's id.
    pub content: String,
    /// Its first byte of the file.
    pub start: u64,
    /// How many.
    pub length: u64,
}

/// The folder of files.
#[derive(Clone)]
pub struct Contents(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    /// Held for reading from the look at a row until its files are pinned, for writing while files are unlinked.
    unlinking: RwLock<()>,
    pins: Mutex<Pins>,
    doomed: mpsc::UnboundedSender<String>,
}

#[derive(Default)]
struct Pins {
    held: HashMap<String, usize>,
    /// Files without a row that a reader still holds.
    doomed: HashSet<String>,
}

/// Keeps files from being unlinked.
pub struct Pin {
    contents: Contents,
    ids: Vec<String>,
}

/// A body that has arrived and is on the disk; its file goes again unless it is kept.
pub struct Received {
    contents: Contents,
    content: Option<String>,
    /// How many bytes.
    pub size: u64,
    /// Their sums.
    pub digests: Digests,
}

impl Contents {
    /// Opens the folder, sweeps what no row names, and starts the task that unlinks.
    pub async fn open(folder: &Path, rows: SqlitePool) -> Result<Self, OpenError> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let id = entry.file_name().to_string_lossy().into_owned();
            if !is_named(&rows, &id).await? {
                fs::remove_file(entry.path())?;
            }
        }
        let (doomed, inbox) = mpsc::unbounded_channel();
        let inner = Inner { folder: folder.to_owned(), unlinking: RwLock::new(()), pins: Mutex::default(), doomed };
        let contents = Self(Arc::new(inner));
        tokio::spawn(unlink_all(Arc::downgrade(&contents.0), inbox, rows));
        Ok(contents)
    }

    /// While this is held, what rows name can be pinned.
    pub async fn looking(&self) -> RwLockReadGuard<'_, ()> {
        self.0.unlinking.read().await
    }

    /// Keeps these files; only under [`Self::looking`], or while they are pinned anyway.
    pub fn pin<'s>(&self, slices: impl IntoIterator<Item = &'s Slice>) -> Pin {
        let ids: Vec<String> = slices.into_iter().map(|slice| slice.content.clone()).collect();
        let mut pins = self.0.pins.lock();
        for id in &ids {
            *pins.held.entry(id.clone()).or_default() += 1;
        }
        Pin { contents: self.clone(), ids }
    }

    /// Lets files go, as soon as neither a row nor a reader holds them.
    pub fn release(&self, ids: impl IntoIterator<Item = String>) {
        for id in ids {
            // Without the task the process ends, and the next start sweeps.
            let _ = self.0.doomed.send(id);
        }
    }

    /// Takes a body in, whole and durable.
    ///
    /// # Errors
    /// `IncompleteBody` where it breaks off, which is also what a body that fails its signature does; `EntityTooLarge`.
    pub async fn receive(&self, mut body: StreamingBlob, mut hashes: Hashes) -> S3Result<Received> {
        let mut received =
            Received { contents: self.clone(), content: None, size: 0, digests: Hashes::new([]).finalize() };
        let mut file = None;
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|_| s3_error!(IncompleteBody))?;
            if bytes.is_empty() {
                continue;
            }
            received.size = received.size.saturating_add(bytes.len() as u64);
            if received.size > MAX_SIZE {
                return Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"));
            }
            hashes.update(&bytes);
            let file = match &mut file {
                Some(file) => file,
                None => {
                    let id = uuid::Uuid::new_v4().simple().to_string();
                    let path = self.path(&id);
                    received.content = Some(id);
                    file.insert(BufWriter::with_capacity(BLOCK, File::create_new(path).await.internal()?))
                }
            };
            file.write_all(&bytes).await.internal()?;
        }
        if let Some(mut file) = file {
            file.flush().await.internal()?;
            file.get_ref().sync_all().await.internal()?;
            File::open(&self.0.folder).await.internal()?.sync_all().await.internal()?;
        }
        received.digests = hashes.finalize();
        Ok(received)
    }

    /// The bytes of slices, a block at a time; the pin goes when the stream does.
    pub fn read(&self, slices: Vec<Slice>, pin: Pin) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + use<> {
        let (sender, mut receiver) = mpsc::channel(READ_AHEAD);
        let contents = self.clone();
        tokio::spawn(async move {
            let _pin = pin;
            for slice in slices {
                if let Err(error) = contents.read_slice(&slice, &sender).await {
                    tracing::error!(%error, content = slice.content, "a content file could not be read");
                    let _ = sender.send(Err(error)).await;
                    return;
                }
                if sender.is_closed() {
                    return;
                }
            }
        });
        stream::poll_fn(move |context| receiver.poll_recv(context))
    }

    async fn read_slice(&self, slice: &Slice, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
        let mut file = File::open(self.path(&slice.content)).await?;
        file.seek(SeekFrom::Start(slice.start)).await?;
        let mut rest = file.take(slice.length);
        while rest.limit() > 0 {
            let mut block = BytesMut::with_capacity(BLOCK);
            if rest.read_buf(&mut block).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if to.send(Ok(block.freeze())).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.folder.join(id)
    }
}

impl Received {
    /// Where the bytes are. From here on the file stays, for the row that will name it.
    pub fn keep(&mut self) -> Vec<Slice> {
        let content = self.content.take();
        content.map(|content| Slice { content, start: 0, length: self.size }).into_iter().collect()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.contents.release(self.content.take());
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut freed = Vec::new();
        {
            let mut pins = self.contents.0.pins.lock();
            for id in self.ids.drain(..) {
                let left = pins.held.get(&id).map_or(0, |count| count.saturating_sub(1));
                if left > 0 {
                    pins.held.insert(id, left);
                    continue;
                }
                pins.held.remove(&id);
                if pins.doomed.remove(&id) {
                    freed.push(id);
                }
            }
        }
        self.contents.release(freed);
    }
}

async fn is_named(rows: &SqlitePool, id: &str) -> sqlx::Result<bool> {
    let named = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM slice WHERE content = ?)").bind(id);
    named.fetch_one(rows).await
}

/// Unlinks what is released, one file at a time, until the store is gone.
async fn unlink_all(inner: std::sync::Weak<Inner>, mut inbox: mpsc::UnboundedReceiver<String>, rows: SqlitePool) {
    while let Some(id) = inbox.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        let _nobody_looks = inner.unlinking.write().await;
        {
            let mut pins = inner.pins.lock();
            if pins.held.contains_key(&id) {
                pins.doomed.insert(id);
                continue;
            }
        }
        let unlinked = match is_named(&rows, &id).await {
            Ok(true) => continue,
            Ok(false) => tokio::fs::remove_file(inner.folder.join(&id)).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = unlinked {
            tracing::warn!(%error, content = id, "a content file is left for the next start to sweep");
        }
    }
}

/// The part of `slices` that is `start..start + length` of all their bytes.
pub fn cut(slices: impl IntoIterator<Item = Slice>, start: u64, length: u64) -> Vec<Slice> {
    let (mut skip, mut left, mut kept) = (start, length, Vec::new());
    for slice in slices {
        if left == 0 {
            break;
        }
        if skip >= slice.length {
            skip -= slice.length;
            continue;
        }
        let taken = left.min(slice.length - skip);
        kept.push(Slice { content: slice.content, start: slice.start + skip, length: taken });
        left -= taken;
        skip = 0;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cut_is_the_range_of_all_bytes(
            slices in proptest::collection::vec((0u64..20, 0u64..9), 0..6),
            start in 0u64..50,
            length in 0u64..50,
        ) {
            let bytes = |slices: &[Slice]| -> Vec<(String, u64)> {
                slices.iter().flat_map(|s| (s.start..s.start + s.length).map(|at| (s.content.clone(), at))).collect()
            };
            let to_usize = |n: u64| usize::try_from(n).unwrap();
            let slices: Vec<Slice> =
                (0..).zip(slices).map(|(n, (start, length))| Slice { content: format!("{n}"), start, length }).collect();
            let want: Vec<_> = bytes(&slices).into_iter().skip(to_usize(start)).take(to_usize(length)).collect();
            prop_assert_eq!(bytes(&cut(slices, start, length)), want);
        }
    }
}

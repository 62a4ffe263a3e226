//! The files of s3s-fs 0.14.1: objects as files under their keys, and beside the buckets one hidden file each for an
//! object's headers (`.bucket-B.object-K.metadata.json`) and for its ETag and checksums (`….internal.json`).
//! Invariant: an object's ETag file is at least as new as its bytes; `repair` restores that after a kill.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use s3s::{
    S3Error,
    crypto::{Checksum, Md5},
    dto::CompletedPart,
    s3_error,
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

/// Longest name of a file.
const NAME_MAX: usize = 255;
/// `.upload-UUID` in the name of an upload's headers.
const UPLOAD_SUFFIX: usize = 44;
/// Parts but the last, in bytes.
const PART_LEAST: u64 = 5 * 1024 * 1024;
const PARTS_MOST: i32 = 10_000;

/// One backend's folder.
pub struct Layout {
    root: PathBuf,
    spool: PathBuf,
    spooled: AtomicU64,
}

/// An open multipart upload.
pub struct Upload<'l> {
    layout: &'l Layout,
    id: String,
}

/// A part that was uploaded.
pub struct StoredPart {
    /// 1 to 10,000.
    pub number: i32,
    /// MD5 of its bytes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Option<SystemTime>,
}

/// Why a key cannot be a file here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Empty, `.` or `..` segments, a slash at an end.
    #[error("a path segment is empty, '.', '..' or longer than 255 bytes")]
    Segment,
    /// Listings could not show it.
    #[error("it holds a control character")]
    Control,
    /// The hidden files' names hold the whole key.
    #[error("it is too long")]
    TooLong,
    /// `a` and `a/b` cannot both be files.
    #[error("a part of it is an object already, or it is the folder of other objects")]
    Conflict,
}

impl Layout {
    /// Makes the folders where missing.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (root, spool) = (folder.join("data"), folder.join("spool"));
        fs::create_dir_all(&root)?;
        fs::create_dir_all(&spool)?;
        for left in fs::read_dir(&spool)? {
            fs::remove_file(left?.path())?;
        }
        Ok(Self { root, spool, spooled: AtomicU64::new(0) })
    }
    /// What s3s-fs serves.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// A file without a name: it goes when it is closed, or the process is killed.
    pub fn unlinked_file(&self) -> io::Result<File> {
        let path = self.spool.join(self.spooled.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    fn bucket(&self, bucket: &str) -> PathBuf {
        self.root.join(bucket)
    }
    fn object(&self, bucket: &str, key: &str) -> PathBuf {
        self.bucket(bucket).join(key)
    }
    fn sidecar(&self, bucket: &str, key: &str, kind: &str) -> PathBuf {
        self.root.join(sidecar_name(bucket, key, kind))
    }

    /// Whether the bucket is there.
    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.bucket(bucket).is_dir()
    }
    /// Whether there is an object of that key.
    pub fn has_object(&self, bucket: &str, key: &str) -> bool {
        check_segments(key).is_ok() && self.object(bucket, key).is_file()
    }
    /// Bytes of an object, `None` where there is none.
    pub fn object_size(&self, bucket: &str, key: &str) -> Option<u64> {
        check_segments(key).ok()?;
        self.object(bucket, key).metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len())
    }
    /// Whether anything but empty folders is in the bucket.
    pub fn holds_objects(&self, bucket: &str) -> io::Result<bool> {
        let mut found = false;
        visit(&self.bucket(bucket), &mut |_| {
            found = true;
            Ok(())
        })?;
        Ok(found)
    }

    /// Whether the key could be a file here under exactly its name.
    pub fn check_key(&self, bucket: &str, key: &str) -> Result<(), KeyFault> {
        check_segments(key)?;
        if key.chars().any(char::is_control) {
            return Err(KeyFault::Control);
        }
        if sidecar_name(bucket, key, "metadata").len() + UPLOAD_SUFFIX > NAME_MAX {
            return Err(KeyFault::TooLong);
        }
        Ok(())
    }

    /// Clears empty folders away that stand where the object goes, and sees that no object does where its folders go.
    pub fn make_room(&self, bucket: &str, key: &str) -> Result<(), KeyFault> {
        let path = self.object(bucket, key);
        let root = self.bucket(bucket);
        if path.ancestors().skip(1).take_while(|folder| *folder != root).any(Path::is_file) {
            return Err(KeyFault::Conflict);
        }
        if path.is_dir() && remove_empty(&path).is_err() {
            return Err(KeyFault::Conflict);
        }
        Ok(())
    }

    /// Removes an object with what belongs to it; nothing there is fine, and a folder is nothing.
    pub fn delete_object(&self, bucket: &str, key: &str) -> io::Result<()> {
        if !self.has_object(bucket, key) {
            return Ok(());
        }
        fs::remove_file(self.object(bucket, key))?;
        for kind in ["metadata", "internal"] {
            ignore_missing(fs::remove_file(self.sidecar(bucket, key, kind)))?;
        }
        Ok(())
    }

    /// The ETag as stored; `None` where s3s-fs would compute it.
    pub fn etag(&self, bucket: &str, key: &str) -> Option<String> {
        let text = fs::read(self.sidecar(bucket, key, "internal")).ok()?;
        let document: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(document.get("e_tag")?.as_str()?.to_owned())
    }

    /// Drops the checksums of the object that a multipart upload is about to replace: s3s-fs would keep them.
    pub fn forget_checksums(&self, bucket: &str, key: &str) -> io::Result<()> {
        let path = self.sidecar(bucket, key, "internal");
        let Some(etag) = self.etag(bucket, key) else { return ignore_missing(fs::remove_file(path)) };
        let beside = self.spool.join(self.spooled.fetch_add(1, Ordering::Relaxed).to_string());
        fs::write(&beside, serde_json::json!({"e_tag": etag}).to_string())?;
        fs::rename(beside, path)
    }

    /// Finds objects whose bytes are newer than their ETag (a kill came between the two) and lets s3s-fs compute it anew.
    pub fn repair(&self) -> io::Result<u64> {
        let mut repaired = 0;
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let Some(bucket) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let folder = entry.path();
            visit(&folder, &mut |path| {
                let Some(key) = path.strip_prefix(&folder).ok().and_then(Path::to_str) else { return Ok(()) };
                let written = fs::metadata(path)?.modified()?;
                let sidecar = self.sidecar(&bucket, key, "internal");
                let noted = match fs::metadata(&sidecar) {
                    Ok(metadata) => metadata.modified()?,
                    // Never noted: s3s-fs computes it from the bytes, but headers of an older object may be left.
                    Err(_) => SystemTime::UNIX_EPOCH,
                };
                if noted < written {
                    repaired += 1;
                    ignore_missing(fs::remove_file(sidecar))?;
                    let headers = self.sidecar(&bucket, key, "metadata");
                    if fs::metadata(&headers).and_then(|m| m.modified()).is_ok_and(|at| at < written) {
                        ignore_missing(fs::remove_file(headers))?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(repaired)
    }

    /// The upload of that id, if it is open.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub fn upload(&self, id: &str) -> Result<Upload<'_>, S3Error> {
        let is_id = uuid::Uuid::parse_str(id).is_ok_and(|uuid| uuid.to_string() == id);
        if is_id && self.root.join(format!(".upload-{id}.json")).is_file() {
            Ok(Upload { layout: self, id: id.to_owned() })
        } else {
            Err(s3_error!(NoSuchUpload))
        }
    }

    /// Removes parts that an upload had and its completion did not name.
    pub fn drop_parts(&self, id: &str) -> io::Result<()> {
        for (_, path) in self.part_files(id)? {
            ignore_missing(fs::remove_file(path))?;
        }
        Ok(())
    }

    fn part_files(&self, id: &str) -> io::Result<Vec<(i32, PathBuf)>> {
        let prefix = format!(".upload_id-{id}.part-");
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
            found.extend(number.map(|number| (number, entry.path())));
        }
        found.sort_by_key(|(number, _)| *number);
        Ok(found)
    }
}

impl Upload<'_> {
    /// 1 to 10,000.
    pub fn check_part_number(&self, number: i32) -> Result<(), &'static str> {
        if (1..=PARTS_MOST).contains(&number) {
            Ok(())
        } else {
            Err("Part number must be an integer between 1 and 10000, inclusive")
        }
    }

    /// The parts in their order; reads all their bytes.
    pub fn parts(&self) -> io::Result<Vec<StoredPart>> {
        let files = self.layout.part_files(&self.id)?;
        files.into_iter().map(|(number, path)| stored_part(number, &path)).collect()
    }

    /// Checks the parts that a completion names, and renumbers them without gaps, as s3s-fs wants them.
    ///
    /// # Errors
    /// `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall`, before anything has changed.
    pub fn check(&self, named: Vec<CompletedPart>) -> Result<Vec<CompletedPart>, S3Error> {
        if named.is_empty() {
            return Err(s3_error!(MalformedXML, "You must specify at least one part"));
        }
        let internal = |error: io::Error| s3_error!(error, InternalError);
        let mut before = 0;
        let mut sizes = Vec::new();
        for part in &named {
            let number = part.part_number.ok_or_else(|| s3_error!(MalformedXML))?;
            if number <= before {
                return Err(s3_error!(InvalidPartOrder));
            }
            before = number;
            let path = self.part_path(number);
            if !path.is_file() {
                return Err(s3_error!(InvalidPart));
            }
            let stored = stored_part(number, &path).map_err(internal)?;
            if part.e_tag.as_ref().is_some_and(|etag| etag.value() != stored.etag) {
                return Err(s3_error!(InvalidPart));
            }
            sizes.push(stored.size);
        }
        if sizes.iter().rev().skip(1).any(|size| *size < PART_LEAST) {
            return Err(s3_error!(EntityTooSmall));
        }
        let mut renumbered = Vec::with_capacity(named.len());
        for (number, part) in (1..).zip(named) {
            let old = part.part_number.unwrap_or(number);
            if old != number {
                // Upwards and never above where it was: no named part is overwritten before its turn.
                fs::rename(self.part_path(old), self.part_path(number)).map_err(internal)?;
            }
            renumbered.push(CompletedPart { part_number: Some(number), ..part });
        }
        Ok(renumbered)
    }

    fn part_path(&self, number: i32) -> PathBuf {
        self.layout.root.join(format!(".upload_id-{}.part-{number}", self.id))
    }
}

fn stored_part(number: i32, path: &Path) -> io::Result<StoredPart> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut hash = Md5::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(piece) if !piece.is_empty() => hash.update(piece),
            _ => break,
        }
    }
    Ok(StoredPart {
        number,
        etag: hex::encode(hash.finalize()),
        size: metadata.len(),
        modified: metadata.modified().ok(),
    })
}

fn sidecar_name(bucket: &str, key: &str, kind: &str) -> String {
    format!(".bucket-{}.object-{}.{kind}.json", URL_SAFE_NO_PAD.encode(bucket), URL_SAFE_NO_PAD.encode(key))
}

fn check_segments(key: &str) -> Result<(), KeyFault> {
    let fits =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.len() <= NAME_MAX && !segment.contains('\0');
    if key.split('/').all(fits) { Ok(()) } else { Err(KeyFault::Segment) }
}

/// Calls `see` for every file below `folder`.
fn visit(folder: &Path, see: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { see(&entry.path())? }
        }
    }
    Ok(())
}

/// Removes a folder that holds nothing but such folders.
fn remove_empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

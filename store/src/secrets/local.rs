//! Master keys in a local file that only its owner can read: the one in use, and former ones that only open.
use super::envelope::{open, seal};
use super::{DataKey, KeyProvider, Sealer, random};
use crate::StoreError;
use async_trait::async_trait;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Keys derived from a master key, so that no two uses share one (HKDF-SHA-256, RFC 5869).
struct Derived {
    wrapping: DataKey,
    sealing: DataKey,
}

/// The master key in use, and others whose wrapped data keys and sealed tokens are opened, too.
pub struct LocalKey {
    current: Derived,
    others: Vec<Derived>,
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[local key]")
    }
}

impl LocalKey {
    /// Takes master keys of 64 hex digits each, parted by white space. The first is in use.
    ///
    /// # Errors
    /// `Invalid` for anything else.
    pub fn from_hex(text: &str) -> Result<Self, StoreError> {
        let mut keys = text.split_whitespace().map(Derived::from_hex);
        let none = || StoreError::Invalid("master key: is 64 hex digits".into());
        Ok(Self { current: keys.next().ok_or_else(none)??, others: keys.collect::<Result<_, _>>()? })
    }

    /// Reads the master key from a file, making the file with a new key and mode 0600 where there is none. Of several
    /// processes that do so at once, all get the same key; a crash leaves no half-written one.
    ///
    /// # Errors
    /// `Invalid` where others than the owner may read the file or it holds no key, `Unavailable` where it cannot be
    /// read or made.
    pub fn load_or_create(path: &Path) -> Result<Self, StoreError> {
        match load(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            loaded => return Self::from_hex(&loaded.map_err(|e| unusable(path, e))?),
        }
        create(path)?;
        Self::from_hex(&load(path).map_err(|e| unusable(path, e))?)
    }
}

impl Derived {
    fn from_hex(text: &str) -> Result<Self, StoreError> {
        let mut master: DataKey = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, &mut master[..])
            .map_err(|_| StoreError::Invalid("master key: is 64 hex digits".into()))?;
        Ok(Self { wrapping: derive(&master, "s3gateway wrap v1")?, sealing: derive(&master, "s3gateway seal v1")? })
    }

    fn wrap(&self, data_key: &DataKey) -> Result<String, StoreError> {
        Ok(STANDARD_NO_PAD.encode(seal(&self.wrapping, b"data key", &data_key[..])?))
    }

    fn unwrap(&self, wrapped: &str) -> Result<DataKey, StoreError> {
        let sealed = STANDARD_NO_PAD.decode(wrapped).map_err(|_| StoreError::Corrupt("a wrapped data key's form"))?;
        let plain = open(&self.wrapping, b"data key", sealed)?;
        let mut data_key: DataKey = Zeroizing::new([0; 32]);
        if plain.len() != data_key.len() {
            return Err(StoreError::Corrupt("a wrapped data key's length"));
        }
        data_key.copy_from_slice(&plain);
        Ok(data_key)
    }
}

#[async_trait]
impl KeyProvider for LocalKey {
    async fn wrap(&self, data_key: &DataKey) -> Result<String, StoreError> {
        self.current.wrap(data_key)
    }

    async fn unwrap(&self, wrapped: &str) -> Result<DataKey, StoreError> {
        let opened = self.current.unwrap(wrapped);
        self.others.iter().fold(opened, |opened, key| opened.or_else(|_| key.unwrap(wrapped)))
    }

    async fn rewrap(&self, wrapped: &str) -> Result<Option<String>, StoreError> {
        match self.current.unwrap(wrapped) {
            Ok(_) => Ok(None),
            Err(_) => self.current.wrap(&self.unwrap(wrapped).await?).map(Some),
        }
    }

    async fn sealer(&self) -> Result<Sealer, StoreError> {
        Sealer::new(&self.current.sealing, self.others.iter().map(|key| &key.sealing))
    }
}

fn derive(master: &DataKey, purpose: &str) -> Result<DataKey, StoreError> {
    let failed = |_| StoreError::Corrupt("the master key");
    let mut key: DataKey = Zeroizing::new([0; 32]);
    let purpose = [purpose.as_bytes()];
    Prk::new_less_safe(HKDF_SHA256, &master[..])
        .expand(&purpose, HKDF_SHA256)
        .map_err(failed)?
        .fill(&mut key[..])
        .map_err(failed)?;
    Ok(key)
}

fn load(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others than its owner may use it; set mode 0600"));
    }
    io::read_to_string(file).map(Zeroizing::new)
}

/// Writes a new key beside the path and links it there, which fails where another process was faster.
fn create(path: &Path) -> Result<(), StoreError> {
    let text = Zeroizing::new(hex::encode(&random::<32>()?[..]));
    let draft = path.with_extension(format!("new-{}", hex::encode(&random::<8>()?[..])));
    let written = write_draft(&draft, &text).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    let removed = fs::remove_file(&draft);
    written.and(removed).and_then(|()| sync_folder(path)).map_err(|e| unusable(path, e))
}

fn write_draft(draft: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    // The process's mask may have taken the owner's own bits away.
    file.set_permissions(Permissions::from_mode(0o600))?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn unusable(path: &Path, error: io::Error) -> StoreError {
    let text = format!("master key file {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData => StoreError::Invalid(text),
        _ => StoreError::Unavailable(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let keys: Vec<LocalKey> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| LocalKey::load_or_create(&path).unwrap())).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft left");
        let data_key = random::<32>().unwrap();
        let wrapped = keys[0].wrap(&data_key).await.unwrap();
        for key in &keys {
            assert_eq!(*key.unwrap(&wrapped).await.unwrap(), *data_key);
        }
    }

    #[tokio::test]
    async fn a_former_key_opens_and_seals_nothing_any_more() {
        let (old, new) = ("a1".repeat(32), "b2".repeat(32));
        let key = |text: &str| LocalKey::from_hex(text).unwrap();
        let (before, after, both) = (key(&old), key(&new), key(&format!("{new}\n{old}\n")));
        let data_key = random::<32>().unwrap();
        let wrapped = before.wrap(&data_key).await.unwrap();
        assert!(after.unwrap(&wrapped).await.is_err() && after.rewrap(&wrapped).await.is_err());
        assert_eq!(*both.unwrap(&wrapped).await.unwrap(), *data_key);
        let again = both.rewrap(&wrapped).await.unwrap().unwrap();
        assert_eq!(*after.unwrap(&again).await.unwrap(), *data_key);
        assert!(before.unwrap(&again).await.is_err(), "the former one is of no use for it");
        assert_eq!(both.rewrap(&again).await.unwrap(), None, "once is enough");

        let token = before.sealer().await.unwrap().seal(&["c"], "upload-7");
        assert_eq!(both.sealer().await.unwrap().open(&["c"], &token).as_deref(), Some("upload-7"));
        assert_eq!(after.sealer().await.unwrap().open(&["c"], &token), None);
        let token = both.sealer().await.unwrap().seal(&["c"], "upload-8");
        assert_eq!(after.sealer().await.unwrap().open(&["c"], &token).as_deref(), Some("upload-8"));
    }

    #[test]
    fn a_bad_file_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        for (text, mode, why) in [
            ("a1".repeat(32), 0o640, "mode 0600"),
            ("a1".repeat(31), 0o600, "64 hex digits"),
            (String::new(), 0o600, "64 hex digits"),
            (format!("{}\nshort", "a1".repeat(32)), 0o600, "64 hex digits"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = LocalKey::load_or_create(&path).unwrap_err();
            assert!(matches!(&refused, StoreError::Invalid(text) if text.contains(why)), "{refused}");
        }
    }
}

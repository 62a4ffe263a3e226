//! The state folder of `dev`, held by one process at a time, and what it remembers there from start to start.
use super::{credentials, places};
use crate::{
    admin_file::AdminFile,
    failure::{During, Failure},
    private_file,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const DEV: &str = "dev.json";

/// The folder, held by one `dev` at a time.
pub struct Folder {
    given: PathBuf,
    absolute: PathBuf,
    _lock: File,
}

/// What `dev` remembers from start to start.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct DevFile {
    /// Tenants made at the first start, with their keys.
    #[serde(default)]
    pub tenants: Vec<TenantKey>,
    /// Embedded backends, with their credentials.
    #[serde(default)]
    pub backends: Vec<BackendKey>,
}

/// A tenant and the key that was printed for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantKey {
    /// The tenant's name.
    pub name: String,
    /// Its access key.
    pub access_key: String,
    /// Its secret key.
    pub secret_key: String,
}

/// An embedded backend's credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackendKey {
    /// The backend's id.
    pub id: String,
    /// Its access key.
    pub access_key: String,
    /// Its secret key.
    pub secret_key: String,
}

/// What `--ready-file` holds.
#[derive(Debug, Serialize)]
pub struct ReadyFile {
    /// The S3 endpoint.
    pub endpoint: String,
    /// The admin API.
    pub admin_endpoint: String,
    /// Its token.
    pub admin_token: String,
    /// Tenants with their keys.
    pub tenants: Vec<TenantKey>,
    /// Backends as they can be reached directly.
    pub backends: Vec<ReadyBackend>,
}

/// A backend in the ready file.
#[derive(Debug, Serialize)]
pub struct ReadyBackend {
    id: String,
    /// The region that stands for the place in placements, e.g. `fi-hel`.
    place: String,
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    access_key: String,
    secret_key: String,
}

impl Folder {
    /// Makes the folder where missing and takes it.
    ///
    /// # Errors
    /// Where it cannot be written or another `dev` runs in it.
    pub fn open(given: &Path) -> Result<Self, Failure> {
        let shown = given.display();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(given)
            .during(&format!("making the folder {shown}"))?;
        let absolute = fs::canonicalize(given).during(&format!("the folder {shown}"))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(absolute.join("lock"));
        let lock = lock.during(&format!("the folder {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { given: given.to_owned(), absolute, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
                "another `s3gateway dev` runs with {shown}; stop it, or choose another folder with --state"
            ))),
            Err(TryLockError::Error(error)) => Err(Failure::while_doing(&format!("locking {shown}"), &error)),
        }
    }
    /// The folder as it was given, for commands that are printed.
    pub fn as_given(&self) -> &Path {
        &self.given
    }
    /// The folder, wherever the process's own is.
    pub fn root(&self) -> &Path {
        &self.absolute
    }
    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.absolute.join(name)
    }
    /// What earlier starts left, or nothing.
    ///
    /// # Errors
    /// Where the file is there and cannot be read: its keys would be lost by writing a new one.
    pub fn read_dev(&self) -> Result<DevFile, Failure> {
        let path = self.path(DEV);
        match private_file::read(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(DevFile::default()),
            Err(error) => Err(Failure::while_doing(&format!("reading {}", path.display()), &error)),
        }
    }
    /// Keeps what the next start needs.
    pub fn write_dev(&self, file: &DevFile) -> Result<(), Failure> {
        private_file::write(&self.path(DEV), file)
    }
}

impl DevFile {
    /// Makes credentials for backends that have none yet.
    pub fn complete_backends(&mut self) {
        for (id, _) in places::all() {
            if !self.backends.iter().any(|backend| backend.id == id) {
                let (access_key, secret_key) = credentials::random_credentials();
                self.backends.push(BackendKey { id: id.into(), access_key, secret_key });
            }
        }
    }
}

impl ReadyFile {
    /// Puts together what the parts know.
    pub fn of(endpoint: SocketAddr, admin: &AdminFile, known: &DevFile, backends: &[(String, String)]) -> Self {
        let backends = places::all().into_iter().filter_map(|(id, place)| {
            let key = known.backends.iter().find(|backend| backend.id == id)?;
            let (_, endpoint) = backends.iter().find(|(backend, _)| backend == id)?;
            let (access_key, secret_key) = (key.access_key.clone(), key.secret_key.clone());
            let place = place.region;
            Some(ReadyBackend { id: id.into(), place, endpoint: endpoint.clone(), access_key, secret_key })
        });
        Self {
            endpoint: format!("http://{endpoint}"),
            admin_endpoint: admin.endpoint.clone(),
            admin_token: admin.token.clone(),
            tenants: known.tenants.clone(),
            backends: backends.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_dev_holds_a_folder_and_its_files_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        assert!(Folder::open(&path).is_err_and(|failure| failure.message.contains("another")));
        let mut file = folder.read_dev().unwrap();
        file.complete_backends();
        folder.write_dev(&file).unwrap();
        file.complete_backends();
        let again = folder.read_dev().unwrap();
        assert_eq!(format!("{again:?}"), format!("{file:?}"), "what is known stays");
        let mode = fs::metadata(folder.path(DEV)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2, "no temporary file stays");
        fs::write(folder.path(DEV), "{").unwrap();
        assert!(folder.read_dev().is_err(), "damage is no fresh start");
        drop(folder);
        assert!(Folder::open(&path).is_ok());
    }
}

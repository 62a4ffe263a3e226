//! How a running `dev` tells the admin CLI where it is: a file in its state folder.
use crate::{failure::Failure, private_file};
use serde::{Deserialize, Serialize};
use std::{io, net::SocketAddr, path::Path};

const NAME: &str = "admin.json";

/// How the admin CLI reaches this `dev`.
#[derive(Debug, Serialize, Deserialize)]
pub struct AdminFile {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    /// Bearer token, new at each start.
    pub token: String,
}

impl AdminFile {
    /// For an address and a token.
    pub fn of(address: SocketAddr, token: String) -> Self {
        Self { endpoint: format!("http://{address}"), token }
    }
    /// Of the `dev` whose state is in `folder`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn read(folder: &Path) -> io::Result<Self> {
        private_file::read(&folder.join(NAME))
    }
    /// Leaves it there.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        private_file::write(&folder.join(NAME), self)
    }
}

//! A CA of a test's own and a certificate for 127.0.0.1 that it vouches for, as files.
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, net};

/// For this address only: `localhost` is a name that the certificate does not have.
pub(crate) const HOST: &str = "127.0.0.1";

pub(crate) struct Authority {
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn make_in(folder: &Path) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([HOST.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let made = Self { folder: folder.to_owned() };
        for (path, pem) in
            [(made.ca(), ca.pem()), (made.certificate(), certificate.pem()), (made.key(), key.serialize_pem())]
        {
            fs::write(&path, pem).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        made
    }
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("server.pem")
    }
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }
}

pub(crate) fn pick_port() -> u16 {
    net::TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port()
}

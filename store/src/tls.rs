//! TLS of the database drivers: which cryptography it stands on, and whether a CA file can be used.
//! redis, and sqlx for `verify-ca`, ask for the process's default provider; with two in the tree (ring for Pingora and
//! sqlx, aws-lc for the AWS SDK) rustls panics rather than guess.
#[cfg(test)]
pub(crate) mod testing;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// Makes ring the process's default, as Pingora does; whoever was first stays.
pub(crate) fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whether a PEM text holds certificates only, of which one at least, that can vouch for a server.
pub(crate) fn are_certificates(pem: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_slice_iter(pem).all(|found| found.is_ok_and(|found| roots.add(found).is_ok()))
        && !roots.is_empty()
}

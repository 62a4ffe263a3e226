//! Whom an `https` admin endpoint is believed by: the system's CAs, or those of one file.
use crate::failure::{During, Failure};
use std::{path::Path, sync::Arc};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

/// A connector that verifies certificates; there is no way to turn that off.
///
/// # Errors
/// Where the file cannot be read or holds no certificate, or the system has none.
pub fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, Failure> {
    let roots = match ca_file {
        Some(path) => of_file(path)?,
        None => of_system()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().during("setting up TLS")?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn of_file(path: &Path) -> Result<RootCertStore, Failure> {
    let refuse = |why: &dyn std::fmt::Display| Failure::of_input(format!("--ca-file {}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refuse(&error))? {
        roots.add(certificate.map_err(|error| refuse(&error))?).map_err(|error| refuse(&error))?;
    }
    if roots.is_empty() { Err(refuse(&"holds no certificate in PEM")) } else { Ok(roots) }
}

fn of_system() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    // A certificate of the system's that does not parse only cannot vouch for anyone.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Failure::new("the system has no CA certificates: install ca-certificates, or give --ca-file"));
    }
    Ok(roots)
}

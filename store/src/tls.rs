//! Which cryptography the drivers' TLS stands on. redis, and sqlx for `verify-ca`, ask for the process's default, and
//! with two providers in the tree (ring for Pingora and sqlx, aws-lc for the AWS SDK) rustls panics rather than guess.
#[cfg(test)]
pub(crate) mod testing;

/// Makes ring the process's default, as Pingora does; whoever was first stays.
pub(crate) fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

//! Credentials that `dev` makes up for itself.
use rand::{Rng, distr::Alphanumeric};

/// A token for the admin API.
pub fn random_token() -> String {
    random(48)
}

/// An access key and a secret key for an embedded backend.
pub fn random_credentials() -> (String, String) {
    (format!("DEV{}", random(17).to_ascii_uppercase()), random(40))
}

fn random(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

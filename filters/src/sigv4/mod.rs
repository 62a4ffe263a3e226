//! AWS Signature Version 4 for S3, checked: header and presigned-query authentication and the signatures of chunks.
//! Invariants: a [`Verified`] comes only from [`verify`] and [`crate::sigv2::verify`]; no payload mode and no operation has
//! another way to one.
//! Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)".
mod canonical;
mod claim;
mod credential;
mod declared;
mod key;
mod signed_headers;
mod timestamp;
mod verify;

pub use canonical::push_trimmed;
pub use claim::{Claim, parse_claim};
pub use declared::PayloadMode;
pub use key::{SigningKey, SigningKeys};
pub use timestamp::render_timestamp;
pub use verify::{Verified, hex64, verify};

pub(crate) use claim::{is_v2_url, refuse_ambiguous, signature_version_2};
pub(crate) use declared::parse_payload;
pub(crate) use verify::ChunkSignatures;

#[cfg(test)]
pub(crate) mod signer;
#[cfg(test)]
mod tests;

//! The body: how long it must be, what it must hash to, and the decoding and encoding of `aws-chunked` while it streams.
//! Invariant: whatever a [`BodyVerifier`] releases lacks at least the last data byte until [`BodyVerifier::finish`] has
//! found everything true, so a body that is not what was signed can never be completed at a backend.
mod chunked;
mod framing;
mod plan;
mod trailer;
mod verifier;

pub use framing::{ChunkedEncoder, encoded_length};
pub use plan::{BodyPlan, Framing, MAX_BODY_BYTES, plan};
pub use verifier::{BodyVerifier, Finished};

#[cfg(test)]
mod tests;

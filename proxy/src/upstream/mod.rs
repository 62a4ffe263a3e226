//! Everything between the gateway and a backend: who it is, whether it is well, how a request to it is built, signed and sent.
mod backend;
mod breaker;
mod client;
mod discovery;
mod error;
mod exchange;
mod pool;
mod request;
mod sending;
mod signer;
mod standing;
mod watch;

pub use backend::{Backends, UpstreamBackend};
pub use breaker::{Breaker, BreakerState, Outcome};
pub use client::{Client, Download, MAX_ERROR_DOCUMENT, UpstreamAnswer};
pub use error::{BackendError, UpstreamError, error_code};
pub use exchange::Exchange;
pub use request::UpstreamRequest;
pub(crate) use sending::Sending;
pub(crate) use standing::versioning_question;
pub(crate) use watch::{INTERVAL as WATCH_INTERVAL, Watch, Watched};

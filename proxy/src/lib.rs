//! The proxy: one request's way from a client to a backend and back, on Pingora, and the admin API beside it.
//! Holds no state of its own that matters: whatever must outlive it is in `store`.
pub mod admin;
mod admit;
mod answer;
mod cache;
mod epochs;
mod feed;
mod front;
mod gateway;
mod keys;
mod linger;
mod listen;
mod marks;
mod metrics;
mod operations;
mod pace;
mod probe;
mod progress;
mod quorum;
mod refusal;
mod routes;
mod service;
mod settings;
mod transfer;
pub mod upstream;
mod version;

pub use gateway::{Gateway, ProxyParts, StartError};
pub use listen::{Listeners, serve};
pub use settings::{BreakerSettings, ProxySettings, UpstreamSettings};

//! An S3 server in a folder: what `s3gateway dev` has for backends, reached over the wire like any other store.
//!
//! Names and metadata are rows of SQLite, bytes are files that never change. Plain rather than fast; every answer of
//! success is durable, and no body is ever whole in memory. Nothing here knows of the gateway.
mod buckets;
mod checksums;
mod conditions;
mod content;
mod declared;
mod error;
mod listing;
mod multipart;
mod objects;
mod pages;
mod ranges;
mod rows;
mod service;
mod store;
mod tags;

pub use s3s::service::S3Service;
pub use service::serve;
pub use store::{OpenError, Store};

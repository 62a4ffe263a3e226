//! Typed configuration: places, policies, capabilities, the addresses a backend may be at, and the process's TOML file with
//! its checks.
//! Knows no other crate of the project and opens nothing but the files it is told to.
mod attribute;
mod capability;
pub mod egress;
mod place;
mod policy;
mod secret;
pub mod settings;

pub use attribute::AttributeError;
pub use capability::{Capabilities, KeyRule};
pub use place::{BackendId, Place, PlaceError};
pub use policy::{PlaceRule, ResidencyPolicy, Transit};
pub use secret::Secret;

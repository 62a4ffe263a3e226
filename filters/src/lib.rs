//! Decisions on a request: who signed it, whether its body is what was signed, where it may go.
//! Pure: no I/O, no clock, no logging; everything that a decision needs is an argument.
pub mod conditions;
pub mod headers;
pub mod keys;
pub mod payload;
pub mod placement;
pub mod replica_count;
pub mod residency;
pub mod sigv2;
pub mod sigv4;

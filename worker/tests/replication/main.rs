//! The worker against real S3 servers, one file for each of its tasks; one binary, as each would take as long to build as all.
// Helpers of tests fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod absences;
mod buckets;
mod converge;
mod forgotten;
mod gone;
mod lost_versions;
mod migration;
mod moved_versions;
mod placement;
mod promotion;
mod scale;
mod sites;
mod stranded;
mod stranded_versions;
mod uploads;
mod versions;
mod walks;
mod walks_cut;
mod walks_held_back;

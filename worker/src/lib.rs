//! The worker: takes dirty keys from the queue and makes all copies of each equal to its home.
//! It never answers a client, never trusts what a job says about an object (it looks), and never deletes a replica
//! unless the home itself says that the key is gone or a policy says that the copy must not be there. It carries out promotions and migrations.
mod backend;
mod backends;
mod backlog;
mod backoff;
mod batch;
mod boundaries;
mod claim;
mod clock;
mod contents;
mod converge;
mod copy;
mod drain;
mod egress;
mod headers;
mod history;
mod layout;
mod metrics;
mod migrate;
mod multipart;
mod object;
mod pace;
mod paced;
mod plan;
mod promote;
mod records;
mod recover;
mod retire;
mod review;
mod settings;
mod settled;
mod standing;
mod strangers;
mod suspect;
mod tally;
mod transport;
mod turn;
mod turns;
mod upkeep;
mod version_plan;
mod versions;
mod walk;
mod worker;

pub use settings::WorkerSettings;
pub use transport::Transport;
pub use worker::{Worker, WorkerParts};

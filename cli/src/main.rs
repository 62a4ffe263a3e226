//! The binary `s3gateway`: reads arguments and configuration, puts the crates together, and stops them in order.
//! Composition only: whatever decides stands in the other crates.
mod admin;
mod admin_file;
mod arguments;
mod dev;
mod failure;
mod logging;
mod ops;
mod private_file;
mod processes;
mod runtime;
mod serve;
mod signals;
mod soak;

use arguments::{Arguments, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

/// Half of a small request's time went into glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Proxy(from) => processes::proxy(&from),
        Command::Worker(from) => processes::worker(&from),
        Command::Migrate(from) => processes::migrate(&from),
        Command::RewrapSecrets(from) => processes::rewrap_secrets(&from),
        Command::CheckConfig(from) => processes::check_config(&from),
        Command::Dev(options) => dev::run(&options),
        Command::Admin(command) => admin::run(*command),
        Command::Soak(options) => soak::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, code }) => {
            eprintln!("{message}");
            ExitCode::from(code)
        }
    }
}

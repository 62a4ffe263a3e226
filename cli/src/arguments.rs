//! The command line.
use crate::{admin::AdminCommand, dev::DevOptions, processes::ConfigFile, soak::SoakOptions};
use clap::{Parser, Subcommand};

/// One S3 endpoint in front of many S3-compatible stores.
#[derive(Debug, Parser)]
#[command(name = "s3gateway", version, about, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve S3 (and the admin API, if configured)
    Proxy(ConfigFile),
    /// Converge dirty keys: copy, delete and verify replicas
    Worker(ConfigFile),
    /// Try everything in one process on this machine: three backends, gateway, worker, admin API
    Dev(DevOptions),
    /// Bring the metadata store's schema up to date
    Migrate(ConfigFile),
    /// Seal all stored secrets under the first of the master keys, so that the others can be removed
    RewrapSecrets(ConfigFile),
    /// Say everything that is wrong with a configuration
    CheckConfig(ConfigFile),
    /// Talk to a running gateway's admin API
    Admin(Box<AdminCommand>),
    /// Write, read and delete through a gateway for a while, then prove at its backends that nothing was lost
    Soak(Box<SoakOptions>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}

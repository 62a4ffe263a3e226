//! Logs on standard error: JSON for machines, plain lines for people.
use crate::failure::Failure;
use s3gateway_config::settings::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Crates whose spans would hold whole requests, credentials included, or whose words concern only themselves: s3s calls
/// each refused request an error, health probes included.
const QUIET: &str =
    "s3s=off,s3s_fs=off,hyper=warn,h2=warn,rustls=warn,sqlx=warn,aws_smithy_runtime=warn,aws_sdk_s3=warn";

/// Starts logging for this process.
///
/// # Errors
/// For a level that is none, or where logging was started before.
pub fn start(format: LogFormat, level: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|error| Failure::of_input(format!("log level {level:?}: {error}")))?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        LogFormat::Human => registry
            .with(
                fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_target(false).with_writer(std::io::stderr),
            )
            .try_init(),
    };
    started.map_err(|error| Failure::new(format!("logging: {error}")))
}

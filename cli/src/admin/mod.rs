//! `s3gateway admin …`: a thin client of the admin API; every command is one request, shown as a table or as JSON.
mod client;
mod commands;
mod render;
mod requests;
mod terminal;
mod trust;

use crate::{admin_file::AdminFile, failure::Failure, runtime};
use clap::Args;
pub use client::{Client, PATIENCE};
use commands::Noun;
use s3gateway_config::Secret;
use std::{
    io::{IsTerminal, stderr, stdin, stdout},
    path::{Path, PathBuf},
};

/// Where `dev` keeps its state unless told otherwise.
const DEV_STATE: &str = ".s3gateway";

/// How to reach a gateway, and what to ask of it.
#[derive(Debug, Args)]
pub struct AdminCommand {
    /// State folder of a running `s3gateway dev` [default: ./.s3gateway, unless an endpoint is given]
    #[arg(long, global = true, value_name = "DIR", conflicts_with_all = ["endpoint"])]
    state: Option<PathBuf>,
    /// The admin API, http(s)://HOST:PORT
    #[arg(long, global = true, value_name = "URL", env = "S3GATEWAY_ADMIN_ENDPOINT")]
    endpoint: Option<String>,
    /// Its bearer token; better given in the environment, which other users cannot see
    #[arg(long, global = true, value_name = "TOKEN", env = "S3GATEWAY_ADMIN_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret<String>>,
    /// PEM file of the CAs that an https endpoint is believed by, instead of the system's
    #[arg(long, global = true, value_name = "FILE", env = "S3GATEWAY_ADMIN_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Do not ask before what cannot be taken back; where there is no terminal to ask at, nothing is asked
    #[arg(long, global = true)]
    yes: bool,
    #[command(subcommand)]
    noun: Noun,
}

/// Asks and shows.
pub fn run(command: AdminCommand) -> Result<(), Failure> {
    let client = find(&command)?;
    let request = command.noun.into_request()?;
    if let Some(question) = request.question.as_ref().filter(|_| !command.yes && stdin().is_terminal()) {
        terminal::confirm(question, &mut stdin().lock(), &mut stderr())?;
    }
    if let Some(file) = &request.output {
        return runtime::start()?.block_on(client.save(&request.target, file));
    }
    let sent = client.send(&request.method, &request.target, request.body.as_ref(), request.patience());
    let answer = runtime::start()?.block_on(sent)?;
    eprint!("{}", render::render_warnings(&answer));
    terminal::show(request.shape, &answer, command.json, &mut stdout().lock())?;
    terminal::judge(request.shape, &answer)
}

/// An explicit state folder first, then an endpoint, then the `dev` of this folder.
fn find(command: &AdminCommand) -> Result<Client, Failure> {
    match (&command.state, &command.endpoint) {
        (Some(state), _) => of_state(state),
        (None, Some(endpoint)) => {
            let token = command
                .token
                .clone()
                .ok_or_else(|| Failure::of_input("give the token with S3GATEWAY_ADMIN_TOKEN or --token"))?;
            Client::new(endpoint, token, command.ca_file.as_deref())
        }
        (None, None) => of_state(Path::new(DEV_STATE)),
    }
}

fn of_state(state: &Path) -> Result<Client, Failure> {
    let file = AdminFile::read(state).map_err(|error| {
        Failure::of_input(format!(
            "no `s3gateway dev` has run with the state folder {} ({error}).\n\
             Start one, name its folder with --state, or name another gateway with --endpoint and S3GATEWAY_ADMIN_TOKEN.",
            state.display()
        ))
    })?;
    Client::new(&file.endpoint, Secret::new(file.token), None)
}

/// Out of sight of `Debug` from the first moment on. White space around it, such as the end of a line, is none of it.
fn secret(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_line_is_no_part_of_a_secret() {
        let Ok(secret) = secret("sesame\n");
        assert_eq!(secret.expose(), "sesame");
    }
}

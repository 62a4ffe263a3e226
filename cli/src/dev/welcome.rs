//! What `dev` prints once everything answers: endpoint, keys, and commands that work as they stand.
use super::state::ReadyFile;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// The text.
pub fn render(ready: &ReadyFile, state: &Path) -> String {
    let endpoint = &ready.endpoint;
    let mut text = String::new();
    let _ = writeln!(text, "\nS3Gateway is running. Ctrl-C stops it; everything is kept in {}.\n", state.display());
    let _ = writeln!(text, "  S3 endpoint   {endpoint}\n  admin API     {}\n", ready.admin_endpoint);
    let _ = writeln!(text, "  TENANT   ACCESS KEY            SECRET KEY");
    for tenant in &ready.tenants {
        let _ = writeln!(text, "  {:7}  {:20}  {}", tenant.name, tenant.access_key, tenant.secret_key);
    }
    let _ = writeln!(
        text,
        "\n  acme's data must stay in the EU: fi-hel (Helsinki) and de-fra (Frankfurt), never us-iad (Virginia).\n"
    );
    let Some(tenant) = ready.tenants.first() else { return text };
    let gateway = command();
    let _ = writeln!(text, "Try it in another terminal, in this folder:\n");
    let _ = writeln!(
        text,
        "  export AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} AWS_DEFAULT_REGION=us-east-1\n",
        quote(&tenant.access_key),
        quote(&tenant.secret_key)
    );
    for line in [
        format!("aws s3 mb s3://photos --region eu --endpoint-url {endpoint}"),
        format!("echo 'Hello, Helsinki' | aws s3 cp - s3://photos/hello.txt --endpoint-url {endpoint}"),
        format!("aws s3 ls s3://photos --endpoint-url {endpoint}"),
        format!("curl \"$(aws s3 presign s3://photos/hello.txt --region eu --endpoint-url {endpoint})\""),
        format!("{gateway} admin object copies{} {} photos hello.txt", state_option(state), quote(&tenant.name)),
    ] {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(
        text,
        "\nThen switch Helsinki off and read it all the same: {gateway} admin backend stop{} fi-hel\n",
        state_option(state)
    );
    text
}

/// This binary as the reader's shell finds it from the current folder.
fn command() -> String {
    let binary = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("s3gateway"));
    let here = std::env::current_dir().unwrap_or_default();
    let shown = binary.strip_prefix(&here).map_or_else(|_| binary.clone(), |inside| Path::new(".").join(inside));
    quote(&shown.display().to_string())
}

/// Nothing for the folder that the admin CLI looks into anyway.
fn state_option(state: &Path) -> String {
    if state == Path::new(".s3gateway") {
        String::new()
    } else {
        format!(" --state {}", quote(&state.display().to_string()))
    }
}

/// Quotes a word for a POSIX shell where it needs it.
fn quote(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&b));
    if plain { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for word in ["plain/word", "", "a b", "it's", "$HOME", "a;b", "ä"] {
            let line = format!("printf %s {}", quote(word));
            let shown = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&shown.stdout), word);
        }
    }
}

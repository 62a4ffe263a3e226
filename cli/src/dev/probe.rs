//! Waits until every part of `dev` really answers.
use super::state::ReadyFile;
use crate::failure::Failure;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(25);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks gateway, admin API and backends until each has answered as it should.
///
/// # Errors
/// After 30 s, with the part that did not.
pub async fn until_all_answer(ready: &ReadyFile, backends: &[(String, String)]) -> Result<(), Failure> {
    // An unsigned request is refused by whoever speaks S3.
    let mut parts = vec![
        ("the gateway".to_owned(), ready.endpoint.clone(), "/", 403),
        ("the admin API".to_owned(), ready.admin_endpoint.clone(), "/readyz", 200),
    ];
    parts.extend(backends.iter().map(|(id, endpoint)| (format!("backend {id}"), endpoint.clone(), "/", 403)));
    let deadline = Instant::now() + DEADLINE;
    for (name, endpoint, path, wanted) in parts {
        let address = endpoint.trim_start_matches("http://");
        let mut last = None;
        while last != Some(wanted) {
            if Instant::now() > deadline {
                let seen = last.map_or_else(|| "nothing".to_owned(), |status: u16| status.to_string());
                return Err(Failure::new(format!(
                    "{name} at {endpoint} did not answer as it should within 30 s (last: {seen})"
                )));
            }
            if last.is_some() {
                tokio::time::sleep(PAUSE).await;
            }
            last = timeout(ANSWER_TIMEOUT, status(address, path)).await.ok().flatten().or(Some(0));
        }
    }
    Ok(())
}

/// The status of a GET; `None` where nothing speaks HTTP there.
async fn status(address: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.ok()?;
    std::str::from_utf8(&start).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

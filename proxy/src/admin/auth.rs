//! Who may ask: one bearer token, compared in constant time, before anything about the request is looked at.
use super::{BODY_LIMIT, problem::Problem};
use crate::probe;
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use s3gateway_config::Secret;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;

/// Wrong tokens that one address may send in a window. The right token always passes, so that nobody who shares an
/// operator's address can lock them out; a token is too long to be guessed at any rate.
const WRONG_ALLOWED: u32 = 300;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered; more are counted together.
const ADDRESSES: usize = 1024;
/// A request, its body included, takes at most this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// One that measures a backend takes longer.
fn time_for(method: &Method, path: &str) -> Duration {
    let is_probe = || path.strip_prefix("/v1/backends/").is_some_and(|rest| rest.ends_with("/probe"));
    match *method == Method::POST && (path == "/v1/backends" || is_probe()) {
        true => REQUEST_TIMEOUT + probe::AT_MOST,
        false => REQUEST_TIMEOUT,
    }
}

/// Holds what the token is compared with and who was wrong lately.
pub(super) struct Guard {
    expected: [u8; 32],
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
}

#[derive(Clone, Copy)]
struct Wrong {
    since: Instant,
    count: u32,
}

impl Guard {
    pub(super) fn new(token: &Secret<String>) -> Self {
        Self { expected: Sha256::digest(token.expose().as_bytes()).into(), wrong: Mutex::default() }
    }

    /// Digests of equal length are compared, so neither content nor length of the token shows in the time it takes.
    fn is_right(&self, authorization: Option<&[u8]>) -> bool {
        let token = authorization.and_then(|value| {
            let (scheme, token) = value.split_at_checked("Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
        });
        let given: [u8; 32] = Sha256::digest(token.unwrap_or_default()).into();
        bool::from(given.ct_eq(&self.expected)) && token.is_some()
    }

    /// Counts a wrong token; `false` once there were too many.
    fn may_be_wrong_again(&self, from: IpAddr, now: Instant) -> bool {
        let mut wrong = self.wrong.lock();
        if wrong.len() >= ADDRESSES {
            wrong.retain(|_, seen| now.duration_since(seen.since) < WINDOW);
        }
        let key = if wrong.len() >= ADDRESSES { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { from };
        let seen = wrong.entry(key).or_insert(Wrong { since: now, count: 0 });
        if now.duration_since(seen.since) >= WINDOW {
            *seen = Wrong { since: now, count: 0 };
        }
        seen.count = seen.count.saturating_add(1);
        seen.count <= WRONG_ALLOWED
    }
}

/// Lets a request pass to the routes if it carries the token; paths outside `/v1` need none, as there is nothing to hide.
pub(super) async fn authenticate(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let is_guarded = request.uri().path().split('/').nth(1) == Some("v1");
    if is_guarded {
        let mut given = request.headers().get_all(header::AUTHORIZATION).iter();
        let (first, second) = (given.next(), given.next());
        let is_right = guard.is_right(first.map(|value| value.as_bytes())) && second.is_none();
        if !is_right {
            let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
            return refuse(&guard, from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Instant::now());
        }
    }
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_LIMIT) {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a body here has at most 1 MiB").into_response();
    }
    let time = time_for(request.method(), request.uri().path());
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response(),
    }
}

fn refuse(guard: &Guard, from: IpAddr, now: Instant) -> Response {
    if guard.may_be_wrong_again(from, now) {
        return Problem::new(StatusCode::UNAUTHORIZED, "send the admin token as `Authorization: Bearer TOKEN`")
            .into_response();
    }
    let mut response =
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens; wait a minute").into_response();
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(WINDOW.as_secs()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_right() {
        let guard = Guard::new(&Secret::new("0123456789abcdef0123456789abcdef".into()));
        for (given, want) in [
            (Some("Bearer 0123456789abcdef0123456789abcdef"), true),
            (Some("bearer 0123456789abcdef0123456789abcdef"), true),
            (Some("Bearer 0123456789abcdef0123456789abcde"), false),
            (Some("Bearer 0123456789abcdef0123456789abcdef0"), false),
            (Some("Bearer  0123456789abcdef0123456789abcdef"), false),
            (Some("Bearer"), false),
            (Some("Bearer "), false),
            (Some("Basic 0123456789abcdef0123456789abcdef"), false),
            (Some("0123456789abcdef0123456789abcdef"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(guard.is_right(given.map(str::as_bytes)), want, "{given:?}");
        }
        let empty = Guard::new(&Secret::new(String::new()));
        assert!(!empty.is_right(None) && !empty.is_right(Some(b"Basic x")), "an absent token is never right");
    }

    #[test]
    fn what_measures_a_backend_gets_the_time_for_it() {
        for (method, path, measures) in [
            (Method::POST, "/v1/backends", true),
            (Method::POST, "/v1/backends/fi-hel/probe", true),
            (Method::GET, "/v1/backends", false),
            (Method::GET, "/v1/backends/fi-hel/probe", false),
            (Method::POST, "/v1/backends/fi-hel/retire", false),
            (Method::POST, "/v1/tenants", false),
        ] {
            assert_eq!(time_for(&method, path) > probe::AT_MOST, measures, "{method} {path}");
        }
    }

    #[test]
    fn wrong_tokens_are_limited_by_address_and_window() {
        let guard = Guard::new(&Secret::new("x".into()));
        let now = Instant::now();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..WRONG_ALLOWED {
            assert!(guard.may_be_wrong_again(one, now));
        }
        assert!(!guard.may_be_wrong_again(one, now));
        assert!(guard.may_be_wrong_again(other, now));
        assert!(guard.may_be_wrong_again(one, now + WINDOW));
        for n in 0..5000u32 {
            guard.may_be_wrong_again(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(guard.wrong.lock().len() <= ADDRESSES + 1, "memory is bounded");
    }
}

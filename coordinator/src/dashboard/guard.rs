//! Who is let in, and what a browser may do with what it gets. Knows nothing of what lies behind.
//!
//! A page of somebody else's that a browser on this machine has open can send requests here, and can have its own name point here
//! (DNS rebinding). So only requests for a name of this machine are answered, and answers are nobody else's to show.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use std::net::IpAddr;

/// The page needs nothing from elsewhere, and its script makes no markup out of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut answer = match refused(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn refused(request: &Request) -> Option<Response> {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(|authority| authority.as_str()).or(named);
    if !host.is_some_and(is_here) {
        let why = "this dashboard answers to 127.0.0.1, [::1] and localhost only\n";
        return Some((StatusCode::FORBIDDEN, why).into_response());
    }
    if request.method() != Method::GET {
        let allowed = [(header::ALLOW, "GET")];
        return Some((StatusCode::METHOD_NOT_ALLOWED, allowed, "there is nothing to change here\n").into_response());
    }
    None
}

/// A name or address of this machine, with a port or without.
fn is_here(host: &str) -> bool {
    let (name, rest) = match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some(bracketed)) => bracketed,
        Some(None) => return false,
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let is_loopback = || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_port && (name.eq_ignore_ascii_case("localhost") || is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_here() {
        for here in ["127.0.0.1", "127.0.0.1:7072", "127.8.8.8:1", "localhost", "LocalHost:80", "[::1]", "[::1]:7072"] {
            assert!(is_here(here), "{here}");
        }
        let elsewhere = ["", "evil.example", "evil.example:7072", "localhost.evil.example", "10.0.0.1:7072", "0.0.0.0"];
        let odd = ["[::1", "[::1]x", "127.0.0.1:x", "127.0.0.1@evil.example", "localhost:7072:1", "[127.0.0.1"];
        for other in elsewhere.into_iter().chain(odd) {
            assert!(!is_here(other), "{other}");
        }
    }
}

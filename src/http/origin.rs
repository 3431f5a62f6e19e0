//! Who may talk to a server that listens on loopback without a password: programs, and pages that the server itself
//! gave out. A web page of another origin must not, nor one that points its own name at 127.0.0.1 (DNS rebinding).

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

use super::codes::Code;
use super::error::Problem;

/// Among the configured hosts: every name is answered.
const ANY_HOST: &str = "*";

/// Checks `Host` (or `:authority`) and `Origin`.
///
/// # Errors
/// `InvalidHeader`, `HostNotAllowed`, `OriginNotAllowed`.
pub(super) fn check(uri: &Uri, headers: &HeaderMap, allowed_hosts: &[String]) -> Result<(), Problem> {
    let authority = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => host_header(headers)?,
    };
    if !host_allowed(host_of(authority), allowed_hosts) {
        return Err(Problem::new(
            Code::HostNotAllowed,
            format!("Host `{authority}` is not one that this server answers to"),
        ));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let same = origin
        .to_str()
        .ok()
        .and_then(|o| o.split_once("://"))
        .is_some_and(|(_, o)| o.eq_ignore_ascii_case(authority));
    if same {
        return Ok(());
    }
    let origin = String::from_utf8_lossy(origin.as_bytes());
    Err(Problem::new(
        Code::OriginNotAllowed,
        format!("Origin `{origin}` is not this server's, which is `{authority}`"),
    ))
}

fn host_header(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next().map(|h| h.to_str()), hosts.next()) {
        (Some(Ok(host)), None) => Ok(host),
        (None, _) => Err(Problem::new(Code::InvalidHeader, "there is no Host header")),
        _ => Err(Problem::new(Code::InvalidHeader, "the Host header is not one host")),
    }
}

/// The host without the port; brackets of an IPv6 address stay.
fn host_of(authority: &str) -> &str {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => {
            if host.starts_with('[') || !host.contains(':') { host } else { authority }
        }
        _ => authority,
    }
}

/// Addresses cannot be rebound, so all of them are fine; of names, only those of this machine and the configured ones.
fn host_allowed(host: &str, allowed_hosts: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = host.trim_end_matches('.');
    let name = |name: &str| host.eq_ignore_ascii_case(name);
    name("localhost")
        || host.len() > ".localhost".len()
            && host
                .get(host.len() - ".localhost".len()..)
                .is_some_and(|end| end.eq_ignore_ascii_case(".localhost"))
        || allowed_hosts.iter().any(|allowed| allowed == ANY_HOST || name(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn answer(host: &'static str, origin: Option<&'static str>) -> Result<(), Code> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        check(&Uri::from_static("/v1/topics"), &headers, &["mill.example".to_owned()]).map_err(|p| p.code())
    }

    #[test]
    fn names_of_this_machine_addresses_and_configured_hosts_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "[::1]:8080",
            "10.1.2.3",
            "a.localhost:1",
            "mill.example:80",
        ] {
            assert_eq!(answer(host, None), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example:8080", "127.0.0.1.evil.example", "", "notlocalhost", "é"]
        {
            let Ok(host) = HeaderValue::from_str(host) else { continue };
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.clone());
            assert!(check(&Uri::from_static("/"), &headers, &[]).is_err(), "{host:?}");
        }
    }

    #[test]
    fn a_star_among_the_configured_hosts_answers_every_name_and_still_no_other_origin() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("any.example"));
        let any = [ANY_HOST.to_owned()];
        assert!(check(&Uri::from_static("/"), &headers, &any).is_ok());
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert_eq!(check(&Uri::from_static("/"), &headers, &any).unwrap_err().code(), Code::OriginNotAllowed);
    }

    #[test]
    fn only_the_servers_own_origin_may_send_requests() {
        assert_eq!(answer("localhost:8080", Some("http://localhost:8080")), Ok(()));
        for origin in ["http://evil.example", "http://localhost:9999", "null", "https://localhost"] {
            assert_eq!(answer("localhost:8080", Some(origin)), Err(Code::OriginNotAllowed), "{origin}");
        }
    }
}

//! Where a grant lets requests go: a scheme, a host or all hosts below a name, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Characters of a host name: the limit of DNS.
const HOST_MAX: usize = 253;

/// A scheme, a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// https
    pub tls: bool,
    /// whom
    pub host: GrantedHost,
    /// the scheme's own unless it was given
    pub port: u16,
}

/// The host of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantedHost {
    /// this name, in lower case
    Name(String),
    /// every name that ends with a dot and this one
    Under(String),
    /// this address
    Ip(IpAddr),
}

// === impl Destination ===

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, own) = if self.tls { ("https", 443) } else { ("http", 80) };
        match &self.host {
            GrantedHost::Ip(IpAddr::V6(ip)) => write!(f, "{scheme}://[{ip}]")?,
            host => write!(f, "{scheme}://{host}")?,
        }
        if self.port == own { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl Destination {
    /// Reads `https://name`, `https://*.name`, `http://10.0.0.1:9000`, `http://[::1]:9000`.
    ///
    /// # Errors
    /// What was found and what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}`: {why}; expected such as https://hooks.example.com");
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("there is no scheme"))?;
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("the scheme is neither http nor https")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(wrong("a grant is for a whole host, without a path"));
        }
        if authority.contains('@') {
            return Err(wrong("a grant carries no user; see grants.secrets"));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => {
                let ip: Ipv6Addr = host.parse().map_err(|_| wrong("the address does not read"))?;
                (GrantedHost::Ip(ip.into()), rest)
            }
            None => {
                let at = authority.find(':').unwrap_or(authority.len());
                (GrantedHost::parse(&authority[..at]).map_err(|why| wrong(&why))?, &authority[at..])
            }
        };
        let port = match port.strip_prefix(':') {
            Some(port) => {
                port.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("the port does not read"))?
            }
            None if port.is_empty() => {
                if tls {
                    443
                } else {
                    80
                }
            }
            None => return Err(wrong("the port does not read")),
        };
        Ok(Self { tls, host, port })
    }

    /// As [`parse`](Self::parse); a host alone is meant over https, at its port.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse_or_https(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Self::parse(text);
        }
        Ok(Self { tls: true, host: GrantedHost::parse(text)?, port: 443 })
    }

    /// Does the other one cover every request that this one covers?
    pub fn is_within(&self, other: &Self) -> bool {
        self.tls == other.tls && self.port == other.port && self.host.is_within(&other.host)
    }

    /// Is a request to this host within the grant? `host` as it stands in the request, an IPv6 address in brackets.
    pub fn covers(&self, tls: bool, host: &str, port: u16) -> bool {
        self.tls == tls && self.port == port && self.host.covers(host)
    }
}

// === impl GrantedHost ===

impl GrantedHost {
    /// Reads `hooks.example.com`, `*.example.com` or an address without brackets.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(rest) if rest.contains('.') => name(rest).map(Self::Under),
            Some(_) => Err("a wildcard covers no whole top-level domain".to_owned()),
            None => name(&lower).map(Self::Name),
        }
    }

    /// Does the other one cover every host that this one covers?
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(name), other) => other.covers(name),
            (Self::Under(own), Self::Under(other)) => {
                own == other || own.strip_suffix(other.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            (Self::Ip(own), Self::Ip(other)) => own == other,
            (Self::Under(_) | Self::Ip(_), _) => false,
        }
    }

    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => host.eq_ignore_ascii_case(name),
            Self::Under(name) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            Self::Ip(ip) => {
                let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
                bare.parse() == Ok(*ip)
            }
        }
    }
}

impl fmt::Display for GrantedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Under(name) => write!(f, "*.{name}"),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

/// A host name. One that ends in a number would be read as an address by some resolvers (`127.1`), so it is none.
fn name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let number = |label: &str| label.starts_with("0x") || label.bytes().all(|b| b.is_ascii_digit());
    let fits =
        text.len() <= HOST_MAX && text.split('.').all(label) && !text.rsplit('.').next().is_some_and(number);
    if fits { Ok(text.to_owned()) } else { Err("the host is no name and no address".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_its_scheme_host_and_port_alone() {
        let covers =
            |grant: &str, tls, host, port| Destination::parse(grant).unwrap().covers(tls, host, port);
        assert!(covers("https://hooks.example.com", true, "Hooks.Example.com", 443));
        assert!(!covers("https://hooks.example.com", false, "hooks.example.com", 443));
        assert!(!covers("https://hooks.example.com", true, "hooks.example.com", 8443));
        assert!(!covers("https://hooks.example.com", true, "a.hooks.example.com", 443));
        assert!(covers("https://*.example.com/", true, "a.b.example.com", 443));
        assert!(!covers("https://*.example.com", true, "example.com", 443));
        assert!(!covers("https://*.example.com", true, ".example.com", 443));
        assert!(!covers("https://*.example.com", true, "badexample.com", 443));
        assert!(covers("http://[::1]:9000", false, "[0:0::1]", 9000));
        assert!(covers("http://127.0.0.1:9000", false, "127.0.0.1", 9000));
        assert!(!covers("http://127.0.0.1:9000", false, "localhost", 9000));
    }
}

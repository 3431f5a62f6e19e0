//! `grants` of a spec: where its code may go out to, and which secrets of the server go along. What is not granted is
//! refused.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::DeploymentSpec;
use crate::model::names;
use crate::model::secret::SECRET_NAME_MAX;

/// Entries of `grants.http`, and of `grants.secrets` (a guess).
const GRANTS_MAX: usize = 64;
/// Characters of a host name: the limit of DNS.
const HOST_MAX: usize = 253;

/// What a deployment may do beyond its topics and its state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// where requests may go
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// headers that the server adds to them
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretGrant>,
}

/// A destination, as text or with `private`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenGrant", into = "WrittenGrant")]
pub struct HttpGrant {
    /// such as `https://hooks.example.com`; see [`Destination::parse`]
    pub url: String,
    /// also when its name leads to an address of a private network
    pub private: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "is not valid: expected a URL such as https://hooks.example.com, or an object of `url` and `private`"
)]
enum WrittenGrant {
    Url(String),
    Whole(WholeGrant),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeGrant {
    url: String,
    #[serde(default)]
    private: bool,
}

impl From<WrittenGrant> for HttpGrant {
    fn from(written: WrittenGrant) -> Self {
        match written {
            WrittenGrant::Url(url) => Self { url, private: false },
            WrittenGrant::Whole(WholeGrant { url, private }) => Self { url, private },
        }
    }
}

impl From<HttpGrant> for WrittenGrant {
    fn from(HttpGrant { url, private }: HttpGrant) -> Self {
        if private { Self::Whole(WholeGrant { url, private }) } else { Self::Url(url) }
    }
}

/// A secret of the server's config, added to requests as a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretGrant {
    /// as in the server's config
    pub name: String,
    /// the header that carries it
    pub header: String,
    /// the header's value, with `{}` where the secret goes; none: the secret alone
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// the granted host that gets it; may be left out where only one is granted
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

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

/// Headers that frame a message or belong to the connection: no secret goes into them.
const RESERVED_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

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

// === impl SecretGrant ===

impl SecretGrant {
    /// Does the secret go to this granted host?
    pub fn goes_to(&self, host: &GrantedHost) -> bool {
        self.host.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(&host.to_string()))
    }

    /// The value of its header.
    pub fn value(&self, secret: &str) -> String {
        self.format.as_ref().map_or_else(|| secret.to_owned(), |format| format.replacen("{}", secret, 1))
    }
}

// === impl DeploymentSpec ===

impl DeploymentSpec {
    /// What the spec alone shows to be wrong with its grants.
    pub(super) fn check_grants(&self, say: &mut impl FnMut(&str, String)) {
        let Grants { http, secrets } = &self.grants;
        if !self.kind.goes_out() && (!http.is_empty() || !secrets.is_empty()) {
            say("/grants", format!("a deployment of kind {} does not go out", self.kind.as_str()));
            return;
        }
        for (what, count) in [("http", http.len()), ("secrets", secrets.len())] {
            if count > GRANTS_MAX {
                say(&format!("/grants/{what}"), format!("{count} entries, at most {GRANTS_MAX}"));
            }
        }
        let mut granted = Vec::new();
        for (i, grant) in http.iter().enumerate() {
            match Destination::parse(&grant.url) {
                Ok(destination) => granted.push((destination, grant.private)),
                Err(why) => say(&format!("/grants/http/{i}"), why),
            }
        }
        for (i, secret) in secrets.iter().enumerate() {
            if let Err((member, why)) = check_secret(secret, &granted) {
                say(&format!("/grants/secrets/{i}{member}"), why);
            }
        }
    }
}

/// The member that is wrong, and why.
fn check_secret(secret: &SecretGrant, granted: &[(Destination, bool)]) -> Result<(), (&'static str, String)> {
    names::check("secret", &secret.name, SECRET_NAME_MAX).map_err(|e| ("/name", e.to_string()))?;
    let header = secret.header.to_ascii_lowercase();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if header.is_empty() || header.len() > 128 || !header.bytes().all(token) {
        return Err(("/header", format!("`{}` is no header's name", secret.header)));
    }
    if RESERVED_HEADERS.contains(&header.as_str()) {
        return Err((
            "/header",
            format!("`{}` belongs to the connection and carries no secret", secret.header),
        ));
    }
    if let Some(format) = &secret.format {
        let visible = format.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if !visible || format.matches("{}").count() != 1 || format.len() > 256 {
            return Err(("/format", "expected text with `{}` once, such as `Bearer {}`".to_owned()));
        }
    }
    let mut hosts: Vec<_> = granted.iter().map(|(destination, _)| destination.host.to_string()).collect();
    hosts.dedup();
    match &secret.host {
        None if hosts.len() > 1 => {
            return Err(("/host", format!("say which granted host gets it: {}", hosts.join(", "))));
        }
        None if hosts.is_empty() => return Err(("", "no host is granted that could get it".to_owned())),
        Some(host) if !hosts.iter().any(|granted| granted.eq_ignore_ascii_case(host)) => {
            let known = if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
            return Err(("/host", format!("`{host}` is none of the granted hosts: {known}")));
        }
        _ => {}
    }
    let open = |(destination, private): &&(Destination, bool)| {
        let public = !private && !matches!(destination.host, GrantedHost::Ip(_));
        secret.goes_to(&destination.host) && !destination.tls && public
    };
    if let Some((destination, _)) = granted.iter().find(open) {
        let why =
            format!("it would go to {} in the clear; grant https, or `private: true`", destination.host);
        return Err(("", why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(grants: &serde_json::Value) -> Vec<String> {
        let spec = json!({
            "name": "d", "kind": "sink", "module": "m", "input": { "topics": ["t"] }, "grants": grants
        });
        let spec: DeploymentSpec = serde_json::from_value(spec).unwrap();
        spec.problems().into_iter().map(|p| format!("{} {}", p.pointer, p.detail)).collect()
    }

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

    #[test]
    fn what_is_no_destination_is_named_with_its_place() {
        let said = problems(&json!({ "http": [
            "hooks.example.com", "ftp://a.b", "https://a.b/path", "https://u:p@a.b", "https://*.com", "http://127.1",
            "http://0x7f.0x1", "https://a.b:0", "https://a b.c", "http://[::1]x", "https://"
        ] }));
        let starts = [
            "/grants/http/0 `hooks.example.com`: there is no scheme;",
            "/grants/http/1 `ftp://a.b`: the scheme is neither",
            "/grants/http/2 `https://a.b/path`: a grant is for a whole host",
            "/grants/http/3 `https://u:p@a.b`: a grant carries no user",
            "/grants/http/4 `https://*.com`: a wildcard covers no whole",
            "/grants/http/5 `http://127.1`: the host is no name",
            "/grants/http/6 `http://0x7f.0x1`: the host is no name",
            "/grants/http/7 `https://a.b:0`: the port does not read",
            "/grants/http/8 `https://a b.c`: the host is no name",
            "/grants/http/9 `http://[::1]x`: the port does not read",
            "/grants/http/10 `https://`: the host is no name",
        ];
        assert_eq!(said.len(), starts.len(), "{said:#?}");
        for (said, start) in said.iter().zip(starts) {
            assert!(said.starts_with(start), "{said}");
        }
    }

    #[test]
    fn a_secret_goes_to_one_granted_host_and_not_in_the_clear() {
        let secret = |more: serde_json::Value| {
            let mut secret = json!({ "name": "token", "header": "Authorization", "format": "Bearer {}" });
            secret.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            secret
        };
        let of =
            |http: serde_json::Value, more| problems(&json!({ "http": http, "secrets": [secret(more)] }));
        assert_eq!(of(json!(["https://a.example.com"]), json!({})), [""; 0]);
        assert_eq!(of(json!(["http://127.0.0.1:1"]), json!({})), [""; 0]);
        assert_eq!(of(json!([{ "url": "http://a.internal", "private": true }]), json!({})), [""; 0]);
        assert_eq!(
            of(json!(["http://a.example.com"]), json!({})),
            ["/grants/secrets/0 it would go to a.example.com in the clear; grant https, or `private: true`"]
        );
        let two = json!(["https://a.example.com", "https://*.b.example.com"]);
        assert_eq!(
            of(two.clone(), json!({})),
            ["/grants/secrets/0/host say which granted host gets it: a.example.com, *.b.example.com"]
        );
        assert_eq!(of(two.clone(), json!({ "host": "*.b.example.com" })), [""; 0]);
        assert_eq!(
            of(two, json!({ "host": "c.example.com" })),
            [
                "/grants/secrets/0/host `c.example.com` is none of the granted hosts: a.example.com, *.b.example.com"
            ]
        );
        assert_eq!(
            of(json!(["https://a.b"]), json!({ "header": "Host" })),
            ["/grants/secrets/0/header `Host` belongs to the connection and carries no secret"]
        );
        assert_eq!(
            of(json!(["https://a.b"]), json!({ "format": "Bearer" })),
            ["/grants/secrets/0/format expected text with `{}` once, such as `Bearer {}`"]
        );
    }

    #[test]
    fn a_grant_is_written_as_it_was_read() {
        let text = json!(["https://a.b", { "url": "http://c.d", "private": true }]);
        let read: Vec<HttpGrant> = serde_json::from_value(text.clone()).unwrap();
        assert!(!read[0].private && read[1].private);
        assert_eq!(serde_json::to_value(read).unwrap(), text);
    }

    #[test]
    fn only_kinds_that_go_out_have_grants() {
        let spec = json!({
            "name": "d", "kind": "inline", "module": "m", "input": { "topics": ["t"] },
            "grants": { "http": ["https://a.b"] }
        });
        let spec: DeploymentSpec = serde_json::from_value(spec).unwrap();
        let problems = spec.problems();
        assert_eq!(problems[0].detail, "a deployment of kind inline does not go out");
    }
}

//! `grants` of a spec: where its code may go out to, and which secrets of the server go along. What is not granted is
//! refused.

use serde::{Deserialize, Serialize};

use super::{DeploymentSpec, Destination, GrantedHost};
use crate::model::names;
use crate::model::secret::SECRET_NAME_MAX;

/// Entries of `grants.http`, and of `grants.secrets` (a guess).
const GRANTS_MAX: usize = 64;
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

//! What a deployment's grants allow, made ready for the requests of its instances: destinations, and the headers with
//! the server's secrets.

use std::fmt;

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::Uri;
use hyper::http::uri::Scheme;

use crate::model::deployment::{Destination, GrantedHost, Grants};
use crate::model::secret::Secrets;

/// Where a request goes. Connections are kept apart by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    /// as in the request: an IPv6 address stands in brackets
    pub(super) host: String,
    pub(super) port: u16,
    /// addresses of private networks are granted
    pub(super) private: bool,
}

/// The grants of one deployment.
#[derive(Debug, Default)]
pub(super) struct Access {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    destination: Destination,
    private: bool,
    /// sensitive: their `Debug` shows nothing
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A request that is within no grant.
pub(super) enum Refused {
    /// it names nobody, or a user
    Uri,
    /// nobody granted it
    Denied,
}

impl Access {
    /// Looks up the secrets that are granted.
    ///
    /// # Errors
    /// Names what does not read and which secret is missing.
    pub(super) fn of(grants: &Grants, secrets: &Secrets) -> Result<Self, String> {
        let mut rules = Vec::with_capacity(grants.http.len());
        for grant in &grants.http {
            let destination = Destination::parse(&grant.url)?;
            // An address is granted by being named.
            let private = grant.private || matches!(destination.host, GrantedHost::Ip(_));
            rules.push(Rule { destination, private, headers: Vec::new() });
        }
        for grant in &grants.secrets {
            let secret = secrets.find(&grant.name);
            let secret = secret.ok_or_else(|| {
                let name = &grant.name;
                format!("the server has no secret `{name}`; its operator adds it to [secrets] of its config")
            })?;
            let name = HeaderName::from_bytes(grant.header.as_bytes());
            let name = name.map_err(|_| format!("`{}` is no header's name", grant.header))?;
            let value = HeaderValue::from_str(&grant.value(secret.expose()));
            let mut value = value.map_err(|_| format!("secret `{}` fits no header", grant.name))?;
            value.set_sensitive(true);
            for rule in rules.iter_mut().filter(|rule| grant.goes_to(&rule.destination.host)) {
                if !secret.may_go_to(&rule.destination) {
                    // Where it may go is for those to know who read the server's config.
                    let (name, place) = (&grant.name, &rule.destination);
                    return Err(format!(
                        "secret `{name}` may not go to {place}: it is none of its `hosts` in the server's config"
                    ));
                }
                rule.headers.push((name.clone(), value.clone()));
            }
        }
        Ok(Self { rules })
    }

    /// Where the request goes, if it is granted, and what it takes along.
    pub(super) fn target(&self, uri: &Uri) -> Result<(Target, Vec<(HeaderName, HeaderValue)>), Refused> {
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or(Refused::Uri)?;
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let (host, port) = (authority.host(), authority.port_u16());
        // A port that does not read is not the scheme's own.
        if port.is_none() && authority.as_str().len() != host.len() {
            return Err(Refused::Uri);
        }
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let covering: Vec<_> =
            self.rules.iter().filter(|rule| rule.destination.covers(tls, host, port)).collect();
        if covering.is_empty() {
            return Err(Refused::Denied);
        }
        let private = covering.iter().any(|rule| rule.private);
        let headers = covering.iter().flat_map(|rule| rule.headers.iter().cloned()).collect();
        Ok((Target { tls, host: host.to_ascii_lowercase(), port, private }, headers))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

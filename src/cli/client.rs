//! HTTP calls and their failures. Knows paths and problems, nothing about what the answers mean.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response, Url};
use serde_json::Value;

use super::failure::{Failure, Problem};

/// Talks to one server.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    timeout: Duration,
}

/// A request in the making.
pub(super) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(Cow<'static, str>, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    extra: Duration,
}

impl Call {
    fn new(method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|&s| s.to_owned()).collect();
        let (query, headers) = (Vec::new(), Vec::new());
        Self { method, path, query, headers, body: None, extra: Duration::ZERO }
    }

    /// The path's segments from the root; they are escaped here.
    pub(super) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &[&str]) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn put(path: &[&str]) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(super) fn patch(path: &[&str]) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub(super) fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(super) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// A parameter whose name the user has made.
    pub(super) fn named_query(mut self, name: String, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub(super) fn query_some(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value.to_string()),
            None => self,
        }
    }

    pub(super) fn query_if(self, name: &'static str, holds: bool) -> Self {
        if holds { self.query(name, "true") } else { self }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().into())
    }

    pub(super) fn body(mut self, content_type: &'static str, body: Bytes) -> Self {
        self.body = Some(body);
        self.header("content-type", content_type)
    }

    /// Time that the server itself is asked to take (long polls, compilation), beside the time-out.
    pub(super) fn takes(mut self, extra: Duration) -> Self {
        self.extra = extra;
        self
    }
}

/// Segments that mean "here" and "one up" in every URL, however they are escaped.
pub(super) fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

// === impl Client ===

impl Client {
    /// Checks the address; connects only when asked something.
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("`{url}` is no address of a server: {why}"));
        let whole = if url.contains("://") { Cow::from(url) } else { format!("http://{url}").into() };
        let base = Url::parse(&whole).map_err(|e| wrong(&e.to_string()))?;
        match base.scheme() {
            "http" if base.has_host() => {}
            "https" => return Err(wrong("this binary speaks plain http; put a TLS proxy on this side")),
            _ => return Err(wrong("expected something like http://127.0.0.1:8080")),
        }
        // A proxy variable meant for the Internet would send requests for the own machine away.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .user_agent(concat!("millstream-cli/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Failure::local("cannot set up HTTP", e))?;
        Ok(Self { http, base, timeout })
    }

    /// As given, without a slash at the end.
    pub(super) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Is it this machine's? Only there can a server be started.
    pub(super) fn is_local(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The answer, if it is a success; its body may still be on the way.
    pub(super) async fn send(&self, call: Call) -> Result<Response, Failure> {
        let response = self.send_any(call).await?;
        if response.status().is_success() || response.status() == reqwest::StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let id = response.headers().get("x-request-id").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = response.bytes().await.map_err(|e| self.failure(&e))?;
        Err(Failure::Problem(Box::new(Problem::read(status, id, &body))))
    }

    /// The answer, whatever its status.
    pub(super) async fn send_any(&self, call: Call) -> Result<Response, Failure> {
        if let Some(name) = call.path.iter().find(|segment| is_dots(segment)) {
            return Err(Failure::Usage(format!("`{name}` is no name: a path cannot hold it")));
        }
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request =
            self.http.request(call.method, url).timeout(self.timeout.saturating_add(call.extra));
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        if let Some(body) = call.body {
            request = request.body(body);
        }
        request.send().await.map_err(|e| self.failure(&e))
    }

    /// The answer's JSON; an empty body is `null`.
    pub(super) async fn json(&self, call: Call) -> Result<Value, Failure> {
        let body = self.bytes(call).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|e| Failure::local("the server's answer is no JSON", e))
    }

    /// The answer's body.
    pub(super) async fn bytes(&self, call: Call) -> Result<Bytes, Failure> {
        self.send(call).await?.bytes().await.map_err(|e| self.failure(&e))
    }

    /// The items of all pages, at most `limit`.
    pub(super) async fn items(
        &self,
        make: impl Fn() -> Call,
        limit: Option<usize>,
    ) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut page = self.json(make().query_some("page_token", token)).await?;
            let Some(more) = page.get_mut("items").and_then(Value::as_array_mut) else {
                return Err(Failure::Local("the server's answer has no list of items".to_owned()));
            };
            items.append(more);
            token = page.get("next_page_token").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() || limit.is_some_and(|n| items.len() >= n) {
                items.truncate(limit.unwrap_or(usize::MAX));
                return Ok(items);
            }
        }
    }

    pub(super) fn failure(&self, e: &reqwest::Error) -> Failure {
        if e.is_timeout() && !e.is_connect() {
            return Failure::TimedOut(format!("{} did not answer in time", self.base()));
        }
        let mut deepest: &dyn std::error::Error = e;
        while let Some(source) = deepest.source() {
            deepest = source;
        }
        let (url, cause) = (self.base().to_owned(), deepest.to_string());
        if e.is_connect() { Failure::Unreachable { url, cause } } else { Failure::Broken { url, cause } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        let new =
            |url| Client::new(url, Duration::from_secs(1)).map(|c| c.base().to_owned()).map_err(|f| f.code());
        assert_eq!(new("http://127.0.0.1:8080/"), Ok("http://127.0.0.1:8080".to_owned()));
        assert_eq!(new("https://x"), Err(2));
        assert_eq!(new("localhost:8080"), Ok("http://localhost:8080".to_owned()));
        assert_eq!(new("ftp://x"), Err(2));
        assert_eq!(new("a b"), Err(2));
    }

    #[test]
    fn a_server_can_be_started_only_on_this_machine() {
        let is_local =
            |url| Client::new(url, Duration::from_secs(1)).map(|c| c.is_local()).map_err(|f| f.code());
        for url in ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080"] {
            assert_eq!(is_local(url), Ok(true), "{url}");
        }
        assert_eq!(is_local("http://10.0.0.1:8080"), Ok(false));
    }
}

//! Requests to the outside, for sinks and sources: within the hosts that the deployment grants (`grants.http`). The server
//! adds the secrets that are granted, and follows no redirects.
//!
//! ```
//! use millstream_sdk::{http, testing};
//!
//! testing::on_http(|request| Ok(http::Response::of(if request.url.ends_with("/ping") { 204 } else { 404 })));
//! let response = http::Request::post("https://hooks.example.com/ping").header("x-a", "b").body("hello").send()?;
//! assert!(response.is_success());
//! # Ok::<(), http::Error>(())
//! ```

use std::fmt;
use std::time::Duration;

use crate::model::Fault;

/// A request that is being put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// in capitals
    pub method: String,
    /// `http://` or `https://`, host, path and query
    pub url: String,
    /// in their order
    pub headers: Vec<(String, Vec<u8>)>,
    /// what is sent
    pub body: Vec<u8>,
    /// how long the answer may take to begin; the server has a bound of its own
    pub timeout: Option<Duration>,
    /// bytes of the answer's body that are taken
    pub response_max: usize,
}

/// What came back, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// such as 200
    pub status: u16,
    /// in their order, names in lower case
    pub headers: Vec<(String, Vec<u8>)>,
    /// its body
    pub body: Vec<u8>,
}

/// No answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// it will not come later either: the URL does not read, or nobody granted it
    pub permanent: bool,
    /// what happened
    pub message: String,
}

/// Bytes of an answer that are taken unless more are asked for.
const RESPONSE_MAX: usize = 1 << 20;

// === impl Request ===

impl Request {
    /// Any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (method, url) = (method.into(), url.into());
        Self { method, url, headers: Vec::new(), body: Vec::new(), timeout: None, response_max: RESPONSE_MAX }
    }

    /// GET
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// POST
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Bounds the wait for the answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Takes answers of up to this many bytes; 1 MiB unless set.
    #[must_use]
    pub fn response_max(mut self, bytes: usize) -> Self {
        self.response_max = bytes;
        self
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Errors
    /// [`Error`] when there is no answer. A status of failure is an answer.
    pub fn send(self) -> Result<Response, Error> {
        #[cfg(target_arch = "wasm32")]
        return wasm::send(&self);
        #[cfg(not(target_arch = "wasm32"))]
        return crate::testing::host::http::send(self);
    }
}

// === impl Response ===

impl Response {
    /// An empty one, for tests.
    pub fn of(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// 200 to 299
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value of the first header with this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }
}

// === impl Error ===

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The whole batch: later, unless it will not come then either.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if error.permanent { Self::Fatal(error.message) } else { Self::Retry(error.message) }
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::{Duration, Error, Request, Response};
    use crate::bindings::http::wasi::http::outgoing_handler;
    use crate::bindings::http::wasi::http::types::{
        ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
        RequestOptions, Scheme,
    };
    use crate::bindings::http::wasi::io::streams::StreamError;

    /// Bytes asked of an answer at a time.
    const READ_BYTES: u64 = 64 << 10;

    fn permanent(message: String) -> Error {
        Error { permanent: true, message }
    }

    pub(super) fn send(request: &Request) -> Result<Response, Error> {
        let failed = |code: &ErrorCode| failed(request, code);
        let head = head(request)?;
        let body = head.body().map_err(|()| permanent("the request's body was taken twice".into()))?;
        let options = RequestOptions::new();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let _ = options.set_first_byte_timeout(request.timeout.map(nanos));
        let answer = outgoing_handler::handle(head, Some(options)).map_err(|code| failed(&code))?;
        // Whoever does not want all of the body answers instead of taking it.
        if write(&body, &request.body).is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
        answer.subscribe().block();
        match answer.get() {
            Some(Ok(Ok(response))) => read(request, response),
            Some(Ok(Err(code))) => Err(failed(&code)),
            Some(Err(())) | None => Err(permanent("the answer was taken twice".into())),
        }
    }

    fn head(request: &Request) -> Result<OutgoingRequest, Error> {
        let url = &request.url;
        let (scheme, rest) = match url.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            _ => return Err(permanent(format!("`{url}` does not begin with http:// or https://"))),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };

        let mut headers = request.headers.clone();
        let has_length = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if !has_length && (!request.body.is_empty() || request.method != "GET") {
            headers.push(("content-length".to_owned(), request.body.len().to_string().into_bytes()));
        }
        let fields = Fields::from_list(&headers)
            .map_err(|e| permanent(format!("a header of the request to {url} cannot be sent: {e:?}")))?;
        let head = OutgoingRequest::new(fields);
        let method = match request.method.as_str() {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            "HEAD" => Method::Head,
            other => Method::Other(other.to_owned()),
        };
        let wrong = |()| permanent(format!("`{} {url}` is no request", request.method));
        head.set_method(&method).map_err(wrong)?;
        head.set_scheme(Some(&scheme)).map_err(wrong)?;
        head.set_authority(Some(authority)).map_err(wrong)?;
        head.set_path_with_query(Some(&path)).map_err(wrong)?;
        Ok(head)
    }

    fn write(body: &OutgoingBody, mut bytes: &[u8]) -> Result<(), StreamError> {
        let Ok(stream) = body.write() else { return Err(StreamError::Closed) };
        let ready = stream.subscribe();
        while !bytes.is_empty() {
            ready.block();
            let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            stream.write(now)?;
            bytes = later;
        }
        stream.blocking_flush()
    }

    fn read(request: &Request, response: IncomingResponse) -> Result<Response, Error> {
        let broken = |what: String| Error { permanent: false, message: format!("{}: {what}", request.url) };
        let mut told = Response { status: response.status(), ..Response::default() };
        told.headers = response.headers().entries();
        let body = response.consume().map_err(|()| broken("the answer has no body".into()))?;
        let stream = body.stream().map_err(|()| broken("the answer's body was taken twice".into()))?;
        loop {
            match stream.blocking_read(READ_BYTES) {
                Ok(bytes) if told.body.len() + bytes.len() > request.response_max => {
                    return Err(broken(format!("the answer is longer than {} bytes", request.response_max)));
                }
                Ok(bytes) => told.body.extend_from_slice(&bytes),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(e)) => {
                    return Err(broken(format!("the answer broke off: {}", e.to_debug_string())));
                }
            }
        }
        drop(stream);
        drop(IncomingBody::finish(body));
        Ok(told)
    }

    fn failed(request: &Request, code: &ErrorCode) -> Error {
        let (permanent, why) = match code {
            ErrorCode::HttpRequestDenied => {
                (true, "grants.http of the deployment does not cover it".to_owned())
            }
            ErrorCode::DestinationIpProhibited => {
                (true, "its address is of no public network, and grants.http does not say private".to_owned())
            }
            ErrorCode::HttpRequestMethodInvalid | ErrorCode::HttpRequestUriInvalid => {
                (true, "it is no request that may be sent".to_owned())
            }
            ErrorCode::HttpRequestBodySize(_) => (true, "its body is too large".to_owned()),
            ErrorCode::ConnectionRefused => (false, "the connection was refused".to_owned()),
            ErrorCode::ConnectionTimeout => (false, "no connection in time".to_owned()),
            ErrorCode::HttpResponseTimeout => (false, "no answer in time".to_owned()),
            ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
                (false, "the name does not resolve".to_owned())
            }
            ErrorCode::TlsCertificateError => (false, "its certificate is not trusted".to_owned()),
            other => (false, format!("{other:?}")),
        };
        Error { permanent, message: format!("{} {}: {why}", request.method, request.url) }
    }
}

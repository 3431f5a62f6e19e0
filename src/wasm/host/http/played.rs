//! The world outside as a test plays it: requests that are granted are answered by somebody in this process, and nothing
//! leaves it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::http::{HeaderMap, Request, Response, StatusCode, Uri};
use wasmtime_wasi_http::{Error, WasiBody};

use super::body::Upload;

/// Answers requests in place of the world outside.
pub trait Outside: Send + Sync {
    /// Answers one request.
    fn answer(&self, asked: Asked) -> Answered;
}

/// A request as the code has sent it, without what the server adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// in capitals
    pub method: String,
    /// scheme, host, path and query
    pub url: String,
    /// what the code has set
    pub headers: HeaderMap,
    /// all of it
    pub body: Bytes,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answered {
    /// 100 to 999
    pub status: StatusCode,
    /// names in lower case
    pub headers: HeaderMap,
    /// all of it
    pub body: Bytes,
}

/// `headers`: as the code has set them.
pub(super) async fn answer(
    outside: &dyn Outside,
    url: &Uri,
    headers: HeaderMap,
    request: Request<Upload>,
) -> Result<Response<WasiBody>, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let asked = Asked { method: head.method.as_str().to_owned(), url: url.to_string(), headers, body };
    let Answered { status, headers, body } = outside.answer(asked);
    let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

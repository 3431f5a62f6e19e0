//! What every request passes, whatever its path: request id, size of its head, Host and Origin, compression, the body of
//! problems, and the metrics.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as _, Incoming};
use tower::{Layer as _, Service as _, ServiceExt as _};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;
use tower_http::decompression::RequestDecompressionLayer;
use uuid::Uuid;

use super::codes::Code;
use super::consume::Instance;
use super::error::Problem;
use super::metrics::Meter;
use super::origin;
use crate::model::limits::REQUEST_HEADER_BYTES_MAX;
use crate::runtime::clock::{Clock, monotonic};

/// Path and query together; longer answers 414.
const URI_BYTES_MAX: usize = 16 << 10;
/// Answers below this size are not worth compressing.
const COMPRESS_BYTES_MIN: u64 = 1024;
/// Longer request ids of clients are replaced.
const REQUEST_ID_MAX: usize = 128;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// In front of the router.
pub(super) struct Gate {
    router: Router,
    allowed_hosts: Vec<String>,
    meter: Meter,
}

impl Gate {
    /// A gate in front of these routes.
    pub(super) fn new(router: Router, allowed_hosts: Vec<String>) -> Self {
        Self { router, allowed_hosts, meter: Meter::default() }
    }

    /// Answers a request. Every refusal is a problem document.
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response {
        let started = monotonic();
        let id = request_id(request.headers());
        let method = request.method().clone();
        let accept = request.headers().get(header::ACCEPT_ENCODING).cloned();

        let mut response = match self.admit(&request) {
            Err(problem) => problem.into_response(),
            Ok(()) => self.route(request.map(Body::new)).await,
        };
        Problem::finish(&mut response, id.to_str().unwrap_or_default());
        Instance::tell(&mut response, id.to_str().unwrap_or_default());
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        if let Some(accept) = accept {
            response = compress(response, accept).await;
        }
        let route = response.extensions_mut().remove::<MatchedPath>();
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        self.meter.record(route, &method, response.status(), started.elapsed());
        response.headers_mut().insert(&REQUEST_ID, id);
        response
    }

    fn admit(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        let uri = request.uri();
        let length = uri.path_and_query().map_or(0, |p| p.as_str().len());
        if length > URI_BYTES_MAX {
            return Err(Problem::new(
                Code::UriTooLong,
                format!("path and query have {length} bytes, at most {URI_BYTES_MAX}"),
            ));
        }
        let bytes: usize =
            request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if bytes > REQUEST_HEADER_BYTES_MAX {
            let detail = format!("the headers have {bytes} bytes, at most {REQUEST_HEADER_BYTES_MAX}");
            return Err(Problem::new(Code::HeadersTooLarge, detail));
        }
        origin::check(uri, request.headers(), &self.allowed_hosts)
    }

    async fn route(&self, request: Request<Body>) -> Response {
        let mut router = self.router.clone();
        let Some(encoding) = request.headers().get(header::CONTENT_ENCODING) else {
            let Ok(response) = router.call(request).await;
            return response;
        };
        match encoding.as_bytes() {
            b"identity" | b"" => {
                let Ok(response) = router.call(request).await;
                response
            }
            b"gzip" | b"zstd" => {
                // Limits count what comes out of the decoder, so a bomb ends where any large body ends.
                let inner = router.into_service::<Body>().map_request(|r: Request<_>| r.map(Body::new));
                // Boxed, as everything that few requests need: the future of the others stays small.
                match Box::pin(RequestDecompressionLayer::new().layer(inner).oneshot(request)).await {
                    Ok(response) => response.map(Body::new),
                    Err(never) => match never {},
                }
            }
            other => {
                let other = String::from_utf8_lossy(other).into_owned();
                let mut response = Problem::new(
                    Code::UnsupportedEncoding,
                    format!("Content-Encoding is `{other}`, this server takes gzip and zstd"),
                )
                .into_response();
                response
                    .headers_mut()
                    .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
                response
            }
        }
    }
}

/// The client's id if it is one that can be logged, else a new one that sorts by time.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fits = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        (1..=REQUEST_ID_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    if let Some(id) = headers.get(&REQUEST_ID).filter(fits) {
        return id.clone();
    }
    let mut text = *b"req_00000000000000000000000000000000";
    if let Some(digits) = text.get_mut(4..) {
        fresh_id().simple().encode_lower(digits);
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("req_none"))
}

/// An id that sorts by time (UUID version 7). What is random in it is drawn once for the process and counted on: asking
/// the system for every request costs more than routing it.
fn fresh_id() -> Uuid {
    static SEED: LazyLock<u128> = LazyLock::new(|| Uuid::new_v4().as_u128());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
    // An odd factor: no two of 2^80 requests get the same 80 bits.
    let random = (*SEED).wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39d)).to_be_bytes();
    let mut tail = [0; 10];
    tail.copy_from_slice(&random[6..]);
    let now_ms = u64::try_from(Clock::system().now_ms()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(now_ms, &tail).into_uuid()
}

/// Compresses answers of known size; streams are left alone, since a compressor would hold their events back.
async fn compress(response: Response, accept: HeaderValue) -> Response {
    if response.body().size_hint().exact().is_none_or(|bytes| bytes < COMPRESS_BYTES_MIN) {
        return response;
    }
    let mut request = Request::new(());
    request.headers_mut().insert(header::ACCEPT_ENCODING, accept);
    let mut once = Some(response);
    let ready = tower::service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, std::convert::Infallible>(once.take().unwrap_or_default()))
    });
    let layer = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(Always);
    match Box::pin(layer.layer(ready).oneshot(request)).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

#[derive(Clone, Copy)]
struct Always;

impl Predicate for Always {
    fn should_compress<B: hyper::body::Body>(&self, _: &axum::http::Response<B>) -> bool {
        true
    }
}

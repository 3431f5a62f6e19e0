//! Request bodies: read whole within a limit or piece by piece, never waiting for ever, and never holding more bytes
//! than the server's budget for bodies allows.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::codes::Code;
use super::error::Problem;
use crate::model::limits::{BODY_IDLE_TIMEOUT, BODY_TIME_MAX, MIB};

/// What is read of a refused body beyond its limit, and for how long.
const LINGER_BYTES: usize = 16 * MIB;
const LINGER_TIME: Duration = Duration::from_secs(5);

/// Bytes of bodies and answers in memory at once, over all connections.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Semaphore>);

/// A share of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

/// A body in memory.
#[derive(Debug)]
pub(super) struct Whole {
    /// all of it
    pub(super) bytes: Bytes,
    /// to be kept as long as the bytes are
    pub(super) share: Share,
}

/// A body that arrives piece by piece.
#[derive(Debug)]
pub(super) struct Pieces(Body);

// === impl Budget ===

impl Budget {
    /// At most `bytes` at once.
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Takes a share, or says at once that there is none.
    ///
    /// # Errors
    /// `Overloaded`.
    pub(super) fn take(&self, bytes: usize) -> Result<Share, Problem> {
        if bytes == 0 {
            return Ok(Share(None));
        }
        let overloaded =
            || Problem::new(Code::Overloaded, "too many bytes of requests and answers are in memory");
        let count = u32::try_from(bytes).map_err(|_| overloaded())?;
        self.0.clone().try_acquire_many_owned(count).map(|p| Share(Some(p))).map_err(|_| overloaded())
    }
}

/// Reads a whole body of at most `limit` bytes. A body that came with its head in one piece is not copied.
///
/// # Errors
/// `BodyTooLarge`, `RequestTimeout`, `MalformedBody`, `Overloaded`.
pub(super) async fn read_whole(body: Body, limit: usize, budget: &Budget) -> Result<Whole, Problem> {
    let most = BODY_TIME_MAX + Duration::from_secs((limit / MIB) as u64);
    let Ok(read) = tokio::time::timeout(most, read_to_end(body, limit, budget)).await else {
        let detail = format!("the body did not come within {} seconds", most.as_secs());
        return Err(Problem::new(Code::RequestTimeout, detail));
    };
    read
}

async fn read_to_end(body: Body, limit: usize, budget: &Budget) -> Result<Whole, Problem> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut pieces = Pieces(body);
    if declared > limit {
        return Err(too_large(pieces, limit).await);
    }
    let mut taken = declared;
    let mut share = budget.take(taken)?;

    let Some(first) = pieces.next().await? else {
        return Ok(Whole { bytes: Bytes::new(), share });
    };
    if pieces.is_end() && first.len() <= limit {
        if first.len() > taken {
            share = budget.take(first.len())?;
        }
        return Ok(Whole { bytes: first, share });
    }
    let mut all = BytesMut::with_capacity(declared.max(first.len()));
    let mut next = Some(first);
    while let Some(piece) = next {
        if all.len() + piece.len() > limit {
            return Err(too_large(pieces, limit).await);
        }
        if all.len() + piece.len() > taken {
            // Of unknown length (chunked or compressed): the share grows in steps.
            let more = ((all.len() + piece.len()) * 2).min(limit);
            share = budget.take(more)?;
            taken = more;
        }
        all.extend_from_slice(&piece);
        next = pieces.next().await?;
    }
    Ok(Whole { bytes: all.freeze(), share })
}

/// The refusal of a body.
async fn too_large(pieces: Pieces, limit: usize) -> Problem {
    forget(pieces.0, limit + LINGER_BYTES).await;
    Problem::new(Code::BodyTooLarge, format!("the body has more than {limit} bytes")).with("limit", limit)
}

/// Ends with a body that nobody wants. Many clients look for an answer only when they have sent everything, so what comes is
/// read and forgotten, up to a bound.
pub(super) async fn forget(body: Body, most: usize) {
    let (mut pieces, mut left) = (Pieces(body), most);
    let forget = async {
        while let Ok(Some(piece)) = pieces.next().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, forget).await;
}

// === impl Pieces ===

impl Pieces {
    /// Reads a body as it arrives.
    pub(super) fn new(body: Body) -> Self {
        Self(body)
    }

    /// The next piece; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// `RequestTimeout` when nothing comes for a while, `MalformedBody` when the connection or the encoding breaks.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = tokio::time::timeout(BODY_IDLE_TIMEOUT, self.0.frame()).await.map_err(|_| {
                let idle = BODY_IDLE_TIMEOUT.as_secs();
                Problem::new(Code::RequestTimeout, format!("no byte of the body came for {idle} seconds"))
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Problem::caused(Code::MalformedBody, &error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    // Trailers and empty pieces say nothing.
                    _ => {}
                },
            }
        }
    }

    /// Bytes of the whole body, if its sender said so beforehand and it is not compressed.
    pub(super) fn expected_bytes(&self) -> Option<u64> {
        self.0.size_hint().exact()
    }

    /// Is it known that nothing more comes?
    pub(super) fn is_end(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// An answer in memory, counted in the budget until it is sent.
pub(super) struct Held {
    bytes: Option<Bytes>,
    _share: Share,
}

impl Held {
    /// An answer that holds its share until the connection has taken it.
    pub(super) fn new(bytes: Bytes, share: Share) -> Self {
        Self { bytes: Some(bytes).filter(|b| !b.is_empty()), _share: share }
    }
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |b| b.len() as u64))
    }
}

/// How a body is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`, anything `+json`, and curl's default for `-d`
    Json,
    /// `application/x-ndjson`, `application/jsonl`
    Ndjson,
    /// `text/plain`
    Text,
    /// `application/octet-stream`
    Bytes,
    /// `application/wasm`
    Wasm,
    /// `application/yaml` and its older names
    Yaml,
    /// `application/cloudevents+json`
    CloudEvent,
    /// `application/cloudevents-batch+json`
    CloudEvents,
    /// something else
    Other,
    /// nothing was said
    Missing,
}

/// The media type of a request.
pub(super) fn media_of(headers: &HeaderMap) -> Media {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Media::Missing };
    let Ok(text) = value.to_str() else { return Media::Other };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    // The form type is what curl sends with `-d` when nobody says anything; no form is ever meant here, and pages of
    // other origins, which could send it without asking, are refused by their Origin.
    if is("application/cloudevents+json") {
        Media::CloudEvent
    } else if is("application/cloudevents-batch+json") {
        Media::CloudEvents
    } else if is("application/json") || is("application/x-www-form-urlencoded") || essence.ends_with("+json")
    {
        Media::Json
    } else if is("application/x-ndjson") || is("application/jsonl") || is("application/ndjson") {
        Media::Ndjson
    } else if is("text/plain") {
        Media::Text
    } else if is("application/octet-stream") {
        Media::Bytes
    } else if is("application/wasm") {
        Media::Wasm
    } else if ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"].into_iter().any(is) {
        Media::Yaml
    } else {
        Media::Other
    }
}

/// The refusal of a media type.
pub(super) fn unsupported_media(headers: &HeaderMap, taken: &str) -> Problem {
    let found = headers.get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let found =
        found.map_or_else(|| "there is no Content-Type".to_owned(), |f| format!("Content-Type is `{f}`"));
    Problem::new(Code::UnsupportedMediaType, format!("{found}, this path takes {taken}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_whether_it_says_so_or_not() {
        let budget = Budget::new(1000);
        let refused = read_whole(Body::from(vec![0; 11]), 10, &budget).await.unwrap_err();
        assert_eq!(refused.code(), Code::BodyTooLarge);
        let stream = futures_util::stream::iter([Ok::<_, std::io::Error>("123456"), Ok("789012")]);
        let refused = read_whole(Body::from_stream(stream), 10, &budget).await.unwrap_err();
        assert_eq!(refused.code(), Code::BodyTooLarge);
    }

    #[tokio::test]
    async fn the_budget_refuses_what_does_not_fit_and_comes_back() {
        let budget = Budget::new(100);
        let first = read_whole(Body::from(vec![0; 80]), 1000, &budget).await.unwrap();
        let refused = read_whole(Body::from(vec![0; 80]), 1000, &budget).await.unwrap_err();
        assert_eq!(refused.code(), Code::Overloaded);
        drop(first);
        assert_eq!(read_whole(Body::from(vec![0; 80]), 1000, &budget).await.unwrap().bytes.len(), 80);
    }
}

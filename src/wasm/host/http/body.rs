//! The two bodies of an exchange, with their bounds. A download gives its connection back when it has been read to its
//! end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

use super::access::Target;
use super::pool::Pool;
use super::under_way::Exchange;
use crate::model::limits::HTTP_BODY_BYTES_MAX;

/// What a guest sends.
pub(super) struct Upload {
    body: WasiBody,
    left: u64,
}

impl Upload {
    pub(super) fn new(body: WasiBody) -> Self {
        Self { body, left: HTTP_BODY_BYTES_MAX }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && !take(&mut self.left, frame)
        {
            return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(HTTP_BODY_BYTES_MAX)))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What comes back.
pub(super) struct Download {
    pub(super) body: Incoming,
    pub(super) left: u64,
    /// has the connection until the end
    pub(super) exchange: Arc<Exchange>,
    pub(super) target: Target,
    pub(super) pool: Arc<Pool>,
    /// how long the next bytes may take
    pub(super) between: Duration,
    /// runs while they are waited for
    pub(super) waiting: Option<Pin<Box<Sleep>>>,
}

impl Download {
    /// The connection is free for the next request.
    fn give_back(&mut self) {
        if let Some(connection) = self.exchange.take_connection() {
            self.pool.put(self.target.clone(), connection);
        }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        drop(self.exchange.take_connection());
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(None) => {
                this.give_back();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = None;
                if !take(&mut this.left, &frame) {
                    return this.fail(Error::HttpResponseBodySize(Some(HTTP_BODY_BYTES_MAX)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(error.into()),
            Poll::Pending => {
                let between = this.between;
                let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(between)));
                match waiting.as_mut().poll(cx) {
                    Poll::Ready(()) => this.fail(Error::ConnectionReadTimeout),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // An empty body is often never read.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}

/// Takes the frame's bytes off what is left; false: there is not as much.
fn take(left: &mut u64, frame: &Frame<Bytes>) -> bool {
    let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
    match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

//! Tells the gate which route answered. The router knows, the gate counts; a boxed middleware between them would cost
//! every request four allocations.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use tower::{Layer, Service};

/// Puts the [`MatchedPath`] of a request into its answer's extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameRoute;

/// See [`NameRoute`].
#[derive(Debug, Clone)]
pub(super) struct Named<S>(S);

/// See [`NameRoute`].
pub(super) struct Naming<F> {
    answering: F,
    route: Option<MatchedPath>,
}

impl<S> Layer<S> for NameRoute {
    type Service = Named<S>;

    fn layer(&self, inner: S) -> Named<S> {
        Named(inner)
    }
}

impl<S> Service<Request> for Named<S>
where
    S: Service<Request, Response = Response, Future: Unpin>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Naming<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Naming { answering: self.0.call(request), route }
    }
}

impl<F, E> Future for Naming<F>
where
    F: Future<Output = Result<Response, E>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut answer = ready!(Pin::new(&mut self.answering).poll(cx));
        if let (Ok(response), Some(route)) = (&mut answer, self.route.take()) {
            response.extensions_mut().insert(route);
        }
        Poll::Ready(answer)
    }
}

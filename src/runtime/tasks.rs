//! Starting tasks and threads. Every one has a name and an owner that keeps its handle.

use std::future::Future;
use std::io;

use tokio::task::JoinHandle;

/// Runs a future on the current runtime. The name shows in debug logs.
#[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tracing::trace!(task = name, "spawned");
    tokio::spawn(future)
}

/// Runs blocking work on the runtime's blocking threads.
#[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
pub fn spawn_blocking<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tracing::trace!(task = name, "spawned blocking");
    tokio::task::spawn_blocking(work)
}

/// Starts a named thread.
#[expect(clippy::disallowed_methods, reason = "the one place that starts threads")]
pub fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<std::thread::JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

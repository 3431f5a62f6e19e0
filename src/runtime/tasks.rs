//! Starting tasks and threads. Every one has a name and an owner that keeps its handle.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
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

/// The threads that guests run on: never those of the network, never the writer.
#[derive(Debug)]
pub struct GuestThreads {
    runtime: Option<Runtime>,
}

impl GuestThreads {
    /// As many threads as asked for.
    pub fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("guest")
            .max_blocking_threads(4)
            // Polls take milliseconds here: who comes from outside is not to wait for several of them.
            .global_queue_interval(1)
            // A task whose module is not in the cache of compiled ones starts the child process that compiles it.
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// A cheap handle to start futures there.
    pub fn handle(&self) -> GuestHandle {
        let runtime = self.runtime.as_ref().expect("only Drop takes the runtime");
        GuestHandle(runtime.handle().clone())
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        // A guest in an endless loop yields every tick, so its future is dropped at the next one; do not wait for it.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts futures on the guests' threads.
#[derive(Clone, Debug)]
pub struct GuestHandle(Handle);

impl GuestHandle {
    /// Runs a future there.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tracing::trace!(task = name, "spawned on the guests' threads");
        self.0.spawn(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_process_runs_from_the_guests_threads() {
        let guests = GuestThreads::start(1).unwrap();
        let child = async { tokio::process::Command::new("true").status().await };
        let status = guests.handle().spawn("child", child).await.unwrap().unwrap();
        assert!(status.success());
    }
}

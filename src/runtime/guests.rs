//! The threads that guests run on: never those of the network, never the writer.
//!
//! Whoever takes a piece of work wakes another thread, which takes what is ready wherever it lies: a short call never stands
//! behind a long one while a thread is free (docs/adr/0004). What the work waits for (time, connections, a child that
//! compiles) is watched by a thread that runs no guests.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use async_executor::{Executor, FallibleTask};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::{slices, tasks};

/// Runs guests until it is dropped. Nobody waits for the threads: a guest in an endless loop yields at its next tick.
#[derive(Debug)]
pub struct GuestThreads {
    executor: Arc<Executor<'static>>,
    /// the threads end when it is dropped
    _going: watch::Sender<()>,
}

/// Time, connections and children of what runs. It ends with the last thread.
struct Events(Option<Runtime>);

/// Starts work on the guests' threads; cheap to clone.
#[derive(Clone, Debug)]
pub struct GuestHandle(Weak<Executor<'static>>);

/// Work on the guests' threads. It ends at its next tick when this is dropped.
#[derive(Debug)]
pub struct GuestTask<T>(Option<FallibleTask<Result<T, Ended>>>);

/// Why work on the guests' threads has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// a mistake of the server's
    #[error("it panicked; the server's log says where")]
    Panicked,
    /// the server is stopping
    #[error("the threads of guests have ended")]
    Stopped,
}

// === impl GuestThreads ===

impl GuestThreads {
    /// Starts so many threads, at least one.
    ///
    /// # Errors
    /// The system refused a thread.
    pub fn start(threads: usize) -> io::Result<Self> {
        let events = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("guest-events")
            .on_thread_start(slices::short)
            .max_blocking_threads(4)
            .enable_io()
            .enable_time()
            .build()?;
        // A runtime may not be dropped just anywhere, also not where a thread cannot be started.
        let events = Arc::new(Events(Some(events)));
        let executor = Arc::new(Executor::new());
        let (going, ends) = watch::channel(());
        for _ in 0..threads.max(1) {
            let (executor, mut ends, events) = (executor.clone(), ends.clone(), events.clone());
            let until = async move {
                let _ = ends.changed().await;
            };
            // Without tokio's budget: it is meant for one task, and many are polled here.
            tasks::thread("guest", move || {
                if let Some(runtime) = &events.0 {
                    runtime.block_on(tokio::task::unconstrained(executor.run(until)));
                    // With the last one what still waits is dropped, while there are timers.
                    let _context = runtime.enter();
                    drop(executor);
                }
            })?;
        }
        Ok(Self { executor, _going: going })
    }

    /// A handle to start work there, of no use once the threads have ended.
    pub fn handle(&self) -> GuestHandle {
        GuestHandle(Arc::downgrade(&self.executor))
    }
}

// === impl Events ===

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl GuestHandle ===

impl GuestHandle {
    /// Runs a future there.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> GuestTask<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tracing::trace!(task = name, "spawned on the guests' threads");
        let work = AssertUnwindSafe(future).catch_unwind().map(|done| done.map_err(|_| Ended::Panicked));
        GuestTask(self.0.upgrade().map(|executor| executor.spawn(work).fallible()))
    }
}

// === impl GuestTask ===

impl<T> GuestTask<T> {
    /// Lets it go on to its own end.
    pub fn detach(mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}

impl<T> Future for GuestTask<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.0 else { return Poll::Ready(Err(Ended::Stopped)) };
        task.poll_unpin(cx).map(|done| done.unwrap_or(Err(Ended::Stopped)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// What a test waits for at most.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_child_process_runs_from_the_guests_threads() {
        let guests = GuestThreads::start(1).unwrap();
        let child = async { tokio::process::Command::new("true").status().await };
        let status = guests.handle().spawn("child", child).await.unwrap().unwrap();
        assert!(status.success());
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_thread_goes_on() {
        let guests = GuestThreads::start(1).unwrap();
        let panics = async { panic!("a mistake") };
        assert_eq!(guests.handle().spawn("panics", panics).await, Err::<(), _>(Ended::Panicked));
        assert_eq!(guests.handle().spawn("goes on", async { 7 }).await, Ok(7));
    }

    #[test]
    fn work_never_waits_behind_work_that_holds_its_thread_while_another_is_free() {
        let guests = GuestThreads::start(2).unwrap();
        let (held, holds) = mpsc::sync_channel(100);
        let (release, released) = mpsc::sync_channel::<()>(1);
        let (done, is_done) = mpsc::sync_channel(100);
        // What is started by whoever holds a thread is the hardest: it must not be kept on that thread.
        let handle = guests.handle();
        let holder = guests.handle().spawn("holds", async move {
            for n in 0..100 {
                let done = done.clone();
                handle.spawn("short", async move { done.send(n).unwrap() }).detach();
            }
            held.send(()).unwrap();
            released.recv().unwrap();
        });
        holds.recv_timeout(LONG).unwrap();
        let mut all: Vec<_> = (0..100).map(|_| is_done.recv_timeout(LONG).unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        release.send(()).unwrap();
        holder.detach();
    }

    #[tokio::test]
    async fn work_ends_with_its_handle_and_with_the_threads() {
        struct Last(mpsc::SyncSender<()>);
        impl Drop for Last {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let guests = GuestThreads::start(1).unwrap();
        let (handle, (ended, ends)) = (guests.handle(), mpsc::sync_channel(100));
        let start = || {
            let last = Last(ended.clone());
            handle.spawn("waits", async move {
                let _last = last;
                std::future::pending::<()>().await;
            })
        };
        drop(start());
        ends.recv_timeout(LONG).unwrap();
        let waits = start();
        start().detach();
        drop(guests);
        assert_eq!(waits.await, Err(Ended::Stopped));
        ends.recv_timeout(LONG).unwrap();
        ends.recv_timeout(LONG).unwrap();
        assert_eq!(start().await, Err(Ended::Stopped));
    }
}

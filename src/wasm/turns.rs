//! Turns of calls that take long. At its first tick a call only lets others have the thread: ticks are the node's, also one of
//! microseconds may meet one. Whoever runs past a second gives the thread up and waits, in order, for a turn. There are as
//! many turns as threads: however many calls are long, one that is short finds no more of them before it than can run.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::meter::Meter;

/// Of a node; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    /// somebody has run past a tick since it was asked last
    pressing: AtomicBool,
    /// a call has begun since it was asked last
    begun: AtomicBool,
    /// to be woken by the first call after a pause
    ticker: OnceLock<Thread>,
}

/// The right to run until the next tick. It ends sooner when the call waits for something or returns.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(threads: usize) -> Self {
        let free = Arc::new(Semaphore::new(threads.max(1)));
        Self(Arc::new(Shared {
            free,
            pressing: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            ticker: OnceLock::new(),
        }))
    }

    /// Who is woken when calls begin after a pause.
    pub(super) fn set_ticker(&self, ticker: Thread) {
        let _ = self.0.ticker.set(ticker);
    }

    /// A call begins: from now on there are ticks.
    pub(super) fn begin(&self) {
        // Most calls find it set, and then no line of memory is taken from another thread.
        if !self.0.begun.load(Relaxed)
            && !self.0.begun.swap(true, Relaxed)
            && let Some(ticker) = self.0.ticker.get()
        {
            ticker.unpark();
        }
    }

    /// Has a call begun since this was asked last?
    pub(super) fn have_begun(&self) -> bool {
        self.0.begun.swap(false, Relaxed)
    }

    /// A call's first tick: others have the thread, and it goes on behind them, however many wait for a turn.
    pub(super) fn first(&self) -> impl Future<Output = ()> + Send + use<> {
        self.0.pressing.store(true, Relaxed);
        give_way();
        tokio::task::yield_now()
    }

    /// Ends the turn of a call, if it has one; the future waits for its next.
    pub(super) fn next(&self, call: &Arc<Meter>) -> impl Future<Output = ()> + Send + use<> {
        self.0.pressing.store(true, Relaxed);
        call.end_turn();
        let (free, call) = (self.0.free.clone(), call.clone());
        async move {
            give_way();
            let permit = free.acquire_owned().await.expect("the semaphore is never closed");
            // Behind whoever waits for the thread.
            tokio::task::yield_now().await;
            call.begin_turn(Turn { _permit: permit });
        }
    }

    /// Has a call run past a tick since this was asked last?
    pub(super) fn are_pressing(&self) -> bool {
        self.0.pressing.swap(false, Relaxed)
    }
}

/// Lets the system's other threads have the CPU, which it would leave to this one for up to 4 ms more: among them are those that
/// the neighbours' commits and answers wait for.
fn give_way() {
    std::thread::yield_now();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_calls_take_turns_in_order_and_a_turn_ends_with_the_next_tick() {
        let turns = Turns::new(1);
        let calls: [Arc<Meter>; 3] = Default::default();
        assert!(!turns.are_pressing());
        turns.next(&calls[0]).await;
        assert!(turns.are_pressing() && !turns.are_pressing());
        let (mut second, mut third) = (Box::pin(turns.next(&calls[1])), Box::pin(turns.next(&calls[2])));
        tokio::select! {
            biased;
            () = &mut second => panic!("the first has its turn"),
            () = &mut third => panic!("the first has its turn"),
            () = tokio::task::yield_now() => {}
        }
        let again = turns.next(&calls[0]);
        second.await;
        let waits = tokio::time::timeout(std::time::Duration::ZERO, &mut third).await;
        assert!(waits.is_err(), "the second has its turn");
        calls[1].end_turn();
        third.await;
        calls[2].end_turn();
        again.await;
    }

    #[tokio::test]
    async fn a_call_at_its_first_tick_does_not_queue_behind_long_ones() {
        let turns = Turns::new(1);
        let [long, waits]: [Arc<Meter>; 2] = Default::default();
        turns.next(&long).await;
        let mut waits = Box::pin(turns.next(&waits));
        tokio::select! {
            biased;
            () = &mut waits => panic!("the first has its turn"),
            () = turns.first() => {}
        }
    }

    #[tokio::test]
    async fn a_call_that_waits_for_something_else_has_no_turn() {
        let turns = Turns::new(1);
        let (long, other) = (Arc::<Meter>::default(), Arc::<Meter>::default());
        let call = async {
            long.at_tick();
            long.at_tick();
            turns.next(&long).await;
            std::future::pending::<()>().await;
        };
        let waits = tokio::time::timeout(std::time::Duration::from_millis(1), long.measure(call)).await;
        assert!(waits.is_err());
        turns.next(&other).await;
    }
}

//! A bounded queue from async callers to threads: waiting for room is async, waiting for work blocks the thread.
//!
//! Room is counted in units, so that few large items fill it as much as many small ones do. Items leave in the order
//! in which they came.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

pub(super) struct Queue<T> {
    items: Mutex<Items<T>>,
    ready: Condvar,
    room: Semaphore,
    capacity: u32,
}

struct Items<T> {
    waiting: VecDeque<(u32, T)>,
    closed: bool,
}

/// What a wait for work brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// at least one item
    Some,
    /// the time is over
    TimedOut,
    /// closed and empty: nothing will come any more
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: u32) -> Self {
        let items = Items { waiting: VecDeque::new(), closed: false };
        Self {
            items: Mutex::new(items),
            ready: Condvar::new(),
            room: Semaphore::new(capacity as usize),
            capacity,
        }
    }

    /// Waits for room, in the order of the calls, and puts the item at the end. A closed queue gives it back.
    ///
    /// Dropping the future before it is ready leaves the queue without the item.
    pub(super) async fn push(&self, units: u32, item: T) -> Result<(), T> {
        let units = units.clamp(1, self.capacity);
        match self.room.acquire_many(units).await {
            Ok(permit) => permit.forget(),
            Err(_closed) => return Err(item),
        }
        self.put(units, item)
    }

    /// Puts the item at the end without waiting for room: for the storage's own threads, each of which has at most one
    /// item in the queue.
    pub(super) fn push_now(&self, item: T) -> Result<(), T> {
        self.put(0, item)
    }

    fn put(&self, units: u32, item: T) -> Result<(), T> {
        let mut items = self.items.lock();
        if items.closed {
            return Err(item);
        }
        items.waiting.push_back((units, item));
        drop(items);
        self.ready.notify_one();
        Ok(())
    }

    /// Moves items to the end of `into`, until `enough` says so of the last one or `most` were moved. Blocks while there
    /// are none, at most for `timeout`.
    pub(super) fn drain(
        &self,
        into: &mut Vec<T>,
        most: usize,
        timeout: Option<Duration>,
        mut enough: impl FnMut(&T) -> bool,
    ) -> Drained {
        let mut items = self.items.lock();
        while items.waiting.is_empty() {
            if items.closed {
                return Drained::Closed;
            }
            match timeout {
                None => self.ready.wait(&mut items),
                Some(timeout) => {
                    if self.ready.wait_for(&mut items, timeout).timed_out() && items.waiting.is_empty() {
                        return Drained::TimedOut;
                    }
                }
            }
        }
        let mut units = 0;
        for _ in 0..most {
            let Some((cost, item)) = items.waiting.pop_front() else { break };
            units += cost as usize;
            let last = enough(&item);
            into.push(item);
            if last {
                break;
            }
        }
        drop(items);
        self.room.add_permits(units);
        Drained::Some
    }

    /// Blocks for one item; `None`: closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut one = Vec::with_capacity(1);
        self.drain(&mut one, 1, None, |_| true);
        one.pop()
    }

    /// No more items are taken in; those inside still come out.
    pub(super) fn close(&self) {
        self.items.lock().closed = true;
        self.room.close();
        self.ready.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_makes_callers_wait_and_large_items_count_more() {
        let queue = Queue::new(4);
        queue.push(3, 'a').await.unwrap();
        queue.push(1, 'b').await.unwrap();
        let mut waiting = Box::pin(queue.push(100, 'c'));
        assert!(waiting.as_mut().now_or_never().is_none());

        let mut out = Vec::new();
        assert_eq!(queue.drain(&mut out, 10, None, |_| false), Drained::Some);
        assert_eq!(out, ['a', 'b']);
        waiting.await.unwrap();
        assert_eq!(queue.pop(), Some('c'));
    }

    #[tokio::test]
    async fn a_closed_queue_gives_back_and_still_hands_out() {
        let queue = Queue::new(4);
        queue.push(1, 'a').await.unwrap();
        queue.close();
        assert_eq!(queue.push(1, 'b').await, Err('b'));
        assert_eq!(queue.push_now('c'), Err('c'));
        assert_eq!(queue.pop(), Some('a'));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn waiting_for_work_ends_with_the_time() {
        let queue = Queue::<u8>::new(1);
        let timeout = Some(Duration::from_millis(1));
        assert_eq!(queue.drain(&mut Vec::new(), 1, timeout, |_| false), Drained::TimedOut);
    }
}

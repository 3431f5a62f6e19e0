//! A task as its supervisor holds it: what it is told, and its end.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::status::Status;
use super::task::Order;
use crate::runtime::clock::monotonic;
use crate::runtime::guests::GuestTask;
use crate::storage::Fence;

/// How long a stop waits for tasks to end their commit. A commit waits for one fsync at most.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// A running task.
pub(super) struct Running {
    pub(super) status: Arc<Status>,
    orders: watch::Sender<Order>,
    fence: Fence,
    ended: Mutex<Option<GuestTask<()>>>,
}

impl Running {
    /// Starts a task, which listens to the orders and makes all its commits behind the fence.
    pub(super) fn start(
        status: Arc<Status>,
        order: Order,
        spawn: impl FnOnce((watch::Receiver<Order>, Fence)) -> GuestTask<()>,
    ) -> Arc<Self> {
        let (orders, receiver) = watch::channel(order);
        let fence = Fence::default();
        let ended = Mutex::new(Some(spawn((receiver, fence.clone()))));
        Arc::new(Self { status, orders, fence, ended })
    }

    /// Tells it what to do.
    pub(super) fn order(&self, order: Order) {
        // Also of one that has ended by itself it is known that it is to stop.
        self.orders.send_replace(order);
    }

    /// Is it told to stop? Nothing that comes later is its own: another takes its place, or none.
    pub(super) fn is_ending(&self) -> bool {
        *self.orders.borrow() == Order::Stop
    }

    /// Returns once it is told to stop.
    pub(super) async fn ending(&self) {
        let _ = self.orders.subscribe().wait_for(|order| *order == Order::Stop).await;
    }
}

/// Stops tasks and waits for their end. False: one did not end in time; it ends at its next tick, and nothing that it
/// submits or has waiting is made.
pub(super) async fn stop(tasks: &[Arc<Running>]) -> bool {
    stop_within(tasks, STOP_WAIT).await
}

async fn stop_within(tasks: &[Arc<Running>], wait: Duration) -> bool {
    for task in tasks {
        task.order(Order::Stop);
    }
    let until = monotonic() + wait;
    let mut all = true;
    for task in tasks {
        let Some(ended) = task.ended.lock().take() else { continue };
        let left = until.saturating_duration_since(monotonic());
        if tokio::time::timeout(left, ended).await.is_err() {
            tracing::error!(task = task.status.partition, "a task did not end in time and is shut out");
            task.fence.close();
            all = false;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeploymentName;
    use crate::pipelines::failing::Failing;
    use crate::runtime::guests::GuestThreads;
    use crate::storage::tests::World;
    use crate::storage::{Commit, CommitError};

    fn running<F: Future<Output = ()> + Send + 'static>(
        guests: &GuestThreads,
        task: impl FnOnce(watch::Receiver<Order>) -> F,
    ) -> (Arc<Running>, Fence) {
        let status = Arc::new(Status::new(DeploymentName::parse("d").unwrap(), 0, Failing::default()));
        let mut fence = Fence::default();
        let running = Running::start(status, Order::Run, |(orders, own)| {
            fence = own;
            guests.handle().spawn("a task", task(orders))
        });
        (running, fence)
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_shut_out() {
        let (world, guests) = (World::new(), GuestThreads::start(1).unwrap());
        let (good, good_fence) = running(&guests, async move |mut orders| {
            let _ = orders.wait_for(|order| *order == Order::Stop).await;
        });
        let (stuck, stuck_fence) = running(&guests, async move |_| std::future::pending().await);
        assert!(stop(&[good]).await);
        assert!(!stop_within(&[stuck], Duration::ZERO).await);
        for (fence, outcome) in [(good_fence, Ok(())), (stuck_fence, Err(CommitError::Fenced))] {
            let mut commit = Commit::new();
            commit.behind(&fence);
            assert_eq!(world.storage.commit(commit).await.map(drop), outcome);
        }
    }
}

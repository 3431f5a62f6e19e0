//! Waiting for records of many partitions at once: woken by their writer, never by looking again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::super::view::View;
use super::super::{Broker, TopicHandle};
use super::Isolation;
use crate::model::{Offset, Partition};
use crate::storage::Log;

/// A place in a log that something is waited for.
#[derive(Clone)]
pub struct WaitPoint {
    log: Arc<Log>,
    /// wait for a record at or behind this offset
    past: Offset,
    /// or for the end of this view
    view: Option<Arc<View>>,
}

impl WaitPoint {
    /// A place in a partition; `None` when the topic does not have it.
    pub fn new(topic: &TopicHandle, partition: Partition, past: Offset) -> Option<Self> {
        topic.log(partition).map(|log| Self::of(log, past, topic.view()))
    }

    /// A place in a log that is read through a view, or as it is.
    pub fn of(log: &Arc<Log>, past: Offset, view: Option<&Arc<View>>) -> Self {
        Self { log: log.clone(), past, view: view.cloned() }
    }

    async fn reached(&self, isolation: Isolation) {
        let record = async {
            match isolation {
                Isolation::Uncommitted => self.log.wait_past(self.past).await,
                Isolation::Committed => self.log.wait_stable_past(self.past).await,
            }
        };
        match &self.view {
            None => record.await,
            Some(view) => tokio::select! {
                () = record => {}
                () = view.replaced() => {}
            },
        }
    }
}

impl Broker {
    /// Waits until a record can be read at one of the points, one of their topics is deleted, or one of their views is
    /// replaced or deleted; false: the time is over.
    ///
    /// All waits of a node together watch a bounded number of partitions. One beyond the bound watches nothing: it takes
    /// its whole time, after which its caller looks by itself.
    pub async fn wait_for_any(&self, points: &[WaitPoint], isolation: Isolation, wait: Duration) -> bool {
        let count = u32::try_from(points.len()).unwrap_or(u32::MAX);
        let watched = self.0.watchers.try_acquire_many(count);
        if watched.is_err() {
            tracing::debug!(count, "too many partitions are watched; a reader waits without watching");
        }
        let any = async {
            if watched.is_err() {
                return std::future::pending().await;
            }
            let mut waits: FuturesUnordered<_> =
                points.iter().map(|point| point.reached(isolation)).collect();
            // Nothing to wait for: then the time decides.
            if waits.next().await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        tokio::time::timeout(wait, any).await.is_ok()
    }
}

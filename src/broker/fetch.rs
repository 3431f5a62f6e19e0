//! What every reader of a log needs, whichever door it comes through: how far its isolation lets it see, waits for more,
//! and offsets by what they mean.

#[cfg(test)]
mod tests;
mod visible;
mod wait;

use super::read::{partition_log, unreadable};
use super::{Broker, ReadError, TopicHandle};
use crate::model::{Offset, Partition, TimestampMs};
use crate::storage::Ends;

pub(crate) use visible::Visible;
pub use wait::WaitPoint;

/// Which records a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// all that are acknowledged, also those of open and aborted transactions
    Uncommitted,
    /// those outside of transactions and those of committed ones, up to the first open one
    #[default]
    Committed,
}

/// Where to look for an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetQuery {
    /// the oldest kept
    Earliest,
    /// the end of what the isolation lets see
    Latest,
    /// the first record with the largest timestamp
    MaxTimestamp,
    /// the first record at or after this time
    Since(TimestampMs),
}

/// An offset that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetFound {
    /// of the record, or an end of the log
    pub offset: Offset,
    /// the record's, when it was looked for by time
    pub timestamp: Option<TimestampMs>,
}

impl Isolation {
    /// Where a reader has to stop.
    pub fn end(self, ends: Ends) -> Offset {
        match self {
            Self::Uncommitted => ends.tail,
            Self::Committed => ends.stable,
        }
    }
}

impl Broker {
    /// Looks for an offset; `None` when no record is there.
    ///
    /// # Errors
    /// `UnknownPartition`, `Storage`.
    pub async fn find_offset(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        query: OffsetQuery,
        isolation: Isolation,
    ) -> Result<Option<OffsetFound>, ReadError> {
        let log = partition_log(topic, partition)?;
        let end = isolation.end(log.ends());
        let at = |offset| Some(OffsetFound { offset, timestamp: None });
        let found = match query {
            OffsetQuery::Earliest => return Ok(at(log.start())),
            OffsetQuery::Latest => return Ok(at(end)),
            OffsetQuery::MaxTimestamp => self.storage().max_timestamp(log, end).await,
            OffsetQuery::Since(ms) => self.storage().offset_for_time(log, ms, end).await,
        };
        let found = found.map_err(|e| unreadable(topic, log, e))?;
        Ok(found.map(|(offset, timestamp)| OffsetFound { offset, timestamp: Some(timestamp) }))
    }
}

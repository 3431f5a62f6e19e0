//! Pages of all partitions of a topic, merged by time.

use std::sync::Arc;
use std::time::Duration;

use super::{ReadLimits, check_range};
use crate::broker::fetch::WaitPoint;
use crate::broker::view::Scan;
use crate::broker::{Broker, ReadError, TopicHandle};
use crate::model::limits::KIB;
use crate::model::{Offset, Partition, Record};
use crate::runtime::clock::monotonic;
use crate::storage::Log;

/// The least that a partition is asked for when all are read: smaller pieces would unpack its batches again and again.
const SHARE_RECORDS_MIN: usize = 500;
const SHARE_BYTES_MIN: usize = 64 * KIB;

/// Records of all partitions.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// by timestamp, then partition
    pub records: Vec<(Partition, Offset, Record)>,
    /// through a view: records that its code has looked at
    pub scanned: u64,
    /// through a view: records left out because its code had trouble with them
    pub skipped: u64,
}

/// The next offset of every partition; partitions beyond its end begin at their log start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(pub Vec<Offset>);

/// Records of one partition that are read and not merged yet.
type Ahead = std::iter::Peekable<std::vec::IntoIter<(Offset, Record)>>;

impl Broker {
    /// Reads from all partitions, the records merged by timestamp, then partition. Moves the cursor past what it gives, and
    /// past what no reader may see or a view drops.
    ///
    /// # Errors
    /// `OutOfRange` when the cursor points below a log start, `Storage`, `View`, `ViewClosed`.
    pub async fn read_all(
        &self,
        topic: &TopicHandle,
        cursor: &mut Cursor,
        limits: ReadLimits,
    ) -> Result<Merged, ReadError> {
        for (index, log) in topic.logs().iter().enumerate() {
            if cursor.0.len() <= index {
                cursor.0.push(log.start());
            }
            check_range(topic, log, cursor.0[index])?;
        }
        let began = monotonic();
        let mut scans = vec![Scan::one_of(topic.logs().len()); topic.logs().len()];
        let mut merged = Merged::default();
        let at_end = |(log, at): (&Arc<Log>, &Offset)| limits.isolation.end(log.ends()) <= *at;
        loop {
            let left = limits.wait.saturating_sub(began.elapsed());
            if !left.is_zero() && topic.logs().iter().zip(&cursor.0).all(at_end) {
                let view = self.view_now(topic)?;
                let point = |(log, at): (&Arc<Log>, &Offset)| WaitPoint::of(log, *at, view.as_ref());
                let points: Vec<_> = topic.logs().iter().zip(&cursor.0).map(point).collect();
                self.wait_for_any(&points, limits.isolation, left).await;
                if view.is_some_and(|view| view.is_replaced()) {
                    continue;
                }
            }
            let before = cursor.clone();
            self.merge(topic, cursor, limits, &mut scans, &mut merged).await?;
            // As for a page: what a view drops is nothing to wake a reader for.
            let goes_on = topic.view().is_some() && merged.records.is_empty() && *cursor != before;
            if !goes_on || scans.iter().any(Scan::is_over) || began.elapsed() >= limits.wait {
                return Ok(merged);
            }
        }
    }

    async fn merge(
        &self,
        topic: &TopicHandle,
        cursor: &mut Cursor,
        limits: ReadLimits,
        scans: &mut [Scan],
        merged: &mut Merged,
    ) -> Result<(), ReadError> {
        let share = share_of(limits, topic.logs().len());
        let mut pages = Vec::with_capacity(topic.logs().len());
        for ((log, at), scan) in topic.logs().iter().zip(&mut cursor.0).zip(&mut *scans) {
            pages.push(self.ahead(topic, log.partition(), at, share, scan, merged).await?);
        }
        let mut bytes = 0;
        while merged.records.len() < limits.records && (bytes < limits.bytes || merged.records.is_empty()) {
            let earliest = pages
                .iter_mut()
                .enumerate()
                .filter_map(|(index, page)| page.peek().map(|(_, record)| (record.timestamp, index)))
                .min();
            let Some((_, index)) = earliest else { break };
            let (page, log, at) = (&mut pages[index], &topic.logs()[index], &mut cursor.0[index]);
            let Some((offset, record)) = page.next() else { break };
            *at = offset + 1;
            bytes += record.size();
            merged.records.push((log.partition(), offset, record));
            // Whose record is the next one shows only as long as every partition that has more shows its own.
            if page.peek().is_none() && bytes < limits.bytes {
                match self.ahead(topic, log.partition(), at, share, &mut scans[index], merged).await {
                    Ok(more) => *page = more,
                    // What was read before it is given first; the next read meets it again.
                    Err(ReadError::View { .. } | ReadError::ViewClosed { .. }) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// The next records of a partition, without waiting. Moves the position past what no reader may see.
    async fn ahead(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        at: &mut Offset,
        share: ReadLimits,
        scan: &mut Scan,
        merged: &mut Merged,
    ) -> Result<Ahead, ReadError> {
        let page = self.read_within(topic, partition, *at, share, scan).await?;
        merged.scanned += page.scanned;
        merged.skipped += page.skipped;
        if page.records.is_empty() {
            *at = (*at).max(page.next_offset);
        }
        Ok(page.records.into_iter().peekable())
    }
}

/// What each partition is asked for at a time when all of them are read. An answer takes what all of them give together:
/// were each asked for all of it, a thousand partitions would hold a thousand times as much.
fn share_of(limits: ReadLimits, partitions: usize) -> ReadLimits {
    let share = |whole: usize, least: usize| (whole / partitions.max(1)).max(least).min(whole);
    let (records, bytes) = (share(limits.records, SHARE_RECORDS_MIN), share(limits.bytes, SHARE_BYTES_MIN));
    ReadLimits { records, bytes, wait: Duration::ZERO, ..limits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fetch::Isolation;
    use crate::broker::tests::{START_MS, World};
    use crate::broker::{AppendEntry, AppendRequest};
    use crate::model::batch::{BatchBuilder, Codec};

    const RECORDS: i64 = 300;

    #[tokio::test]
    async fn pages_of_all_partitions_are_in_the_order_of_time_however_small_the_shares() {
        let world = World::new();
        let topic = world.topic("t", &[]).await;
        let value = [0; 2048];
        for partition in 0..3 {
            let mut builder = BatchBuilder::new();
            for n in 0..RECORDS {
                builder.push(START_MS + 3 * n + i64::from(partition), None, Some(&value), []);
            }
            let batch = builder.finish(Codec::None).unwrap().bytes().clone();
            let entries = vec![AppendEntry { topic: topic.clone(), partition, batch }];
            let request = AppendRequest { entries, transaction: None, permit: None };
            world.broker.append(request).await.results.remove(0).unwrap();
        }

        let limits = ReadLimits {
            records: 1_000,
            bytes: 8 * SHARE_BYTES_MIN,
            wait: Duration::ZERO,
            isolation: Isolation::Committed,
        };
        let (mut cursor, mut times) = (Cursor::default(), Vec::new());
        loop {
            let page = world.broker.read_all(&topic, &mut cursor, limits).await.unwrap();
            let page = page.records;
            if page.is_empty() {
                break;
            }
            let bytes: usize = page.iter().map(|(_, _, record)| record.size()).sum();
            assert!(bytes <= limits.bytes + value.len(), "{bytes}");
            times.extend(page.into_iter().map(|(_, _, record)| record.timestamp));
        }
        let expected: Vec<_> = (0..3 * RECORDS).map(|n| START_MS + n).collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn partitions_share_what_an_answer_may_hold() {
        let limits = ReadLimits {
            records: 10_000,
            bytes: 16 << 20,
            wait: Duration::from_secs(1),
            isolation: Isolation::Committed,
        };
        let share = |partitions| {
            let share = share_of(limits, partitions);
            (share.records, share.bytes, share.wait)
        };
        assert_eq!(share(1), (10_000, 16 << 20, Duration::ZERO));
        assert_eq!(share(4), (2_500, 4 << 20, Duration::ZERO));
        assert_eq!(share(1_000), (SHARE_RECORDS_MIN, SHARE_BYTES_MIN, Duration::ZERO));
        let none = share_of(ReadLimits { records: 0, bytes: 0, ..limits }, 3);
        assert_eq!((none.records, none.bytes), (0, 0));
    }
}

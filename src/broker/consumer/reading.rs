//! Reading what a member is assigned: where it goes on, fair pages over all partitions, and waiting for records of any.

use std::sync::Arc;
use std::time::Duration;

use super::member::{Member, Place};
use super::{ConsumerError, Given, Start};
use crate::broker::{Broker, Isolation, OffsetSpec, ReadError, ReadLimits, TopicHandle, WaitPoint};
use crate::groups::FetchOffsets;
use crate::model::{Offset, Partition, TopicName};
use crate::storage;

/// Records that were read, and where each partition goes on when they are taken.
#[derive(Default)]
pub(super) struct Read {
    pub(super) records: Vec<Given>,
    moved: Vec<Moved>,
}

struct Moved {
    at: (TopicName, Partition),
    from: Offset,
    next: Option<Offset>,
    gives: bool,
}

/// A place to read at.
struct Spot {
    topic: Arc<TopicHandle>,
    partition: Partition,
    next: Offset,
}

impl Member {
    /// Asks the group where to go on in partitions that are new to the member. What a transaction is about to change is
    /// left for later.
    pub(super) async fn locate(&self, broker: &Broker) -> Result<(), ConsumerError> {
        let (unknown, start) = {
            let held = self.held.lock();
            let unknown = held.places.iter().filter(|(_, place)| place.next.is_none());
            (unknown.map(|(at, place)| (at.clone(), place.topic_id)).collect::<Vec<_>>(), held.options.start)
        };
        for ((name, partition), topic_id) in unknown {
            let Some(topic) = broker.readable_named(name.as_str()).filter(|t| t.id() == topic_id) else {
                continue;
            };
            let request = FetchOffsets {
                group: self.group.clone(),
                member: None,
                topics: Some(vec![(name.as_str().into(), vec![partition.cast_signed()])]),
                require_stable: true,
            };
            let fetched = broker.groups().fetch_offsets(&request)?;
            let found = fetched.into_iter().flat_map(|t| t.partitions).next().map(|at| at.committed);
            let next = match found {
                Some(Err(_)) => continue,
                Some(Ok(Some(committed))) => Offset::try_from(committed.offset).unwrap_or(0),
                Some(Ok(None)) | None => broker.resolve_offset(&topic, partition, start.spec()).await?,
            };
            if let Some(place) = self.held.lock().places.get_mut(&(name, partition)) {
                (place.next, place.base) = (Some(next), Some(next));
            }
        }
        Ok(())
    }

    /// The partitions that can be read, the one whose turn it is first. A topic that was created again begins anew.
    fn spots(&self, broker: &Broker) -> Vec<Spot> {
        let mut held = self.held.lock();
        let mut spots = Vec::with_capacity(held.places.len());
        for ((name, partition), place) in &mut held.places {
            let Some(topic) = broker.readable_named(name.as_str()) else { continue };
            if topic.id() != place.topic_id {
                *place = Place { topic_id: topic.id(), next: None, base: None, is_ahead: false };
            }
            let (Some(next), Some(log)) = (place.next, topic.log(*partition)) else { continue };
            if !log.is_gone() {
                spots.push(Spot { partition: *partition, next, topic });
            }
        }
        let count = spots.len().max(1);
        held.rotation = (held.rotation + 1) % count;
        spots.rotate_left(held.rotation);
        spots
    }

    /// Reads without waiting; nothing is taken yet.
    pub(super) async fn read(
        &self,
        broker: &Broker,
        records: usize,
        bytes: usize,
    ) -> Result<Read, ConsumerError> {
        let start = self.held.lock().options.start;
        let (mut read, mut size) = (Read::default(), 0);
        for Spot { topic, partition, next: from } in self.spots(broker) {
            if read.records.len() >= records || size >= bytes {
                break;
            }
            let limits = ReadLimits {
                records: records - read.records.len(),
                bytes: bytes - size,
                wait: Duration::ZERO,
                isolation: Isolation::Committed,
            };
            let at = (topic.name().clone(), partition);
            let page = match broker.read(&topic, partition, from, limits).await {
                Ok(page) => page,
                Err(ReadError::OutOfRange { .. }) => {
                    let next = Some(broker.resolve_offset(&topic, partition, start.spec()).await?);
                    read.moved.push(Moved { at, from, next, gives: false });
                    continue;
                }
                // It is on its way out.
                Err(ReadError::Storage { source: storage::ReadError::TopicGone { .. }, .. }) => continue,
                // What others give comes first; when nobody does, a view says why it stops.
                Err(ReadError::View { .. }) if !read.records.is_empty() => continue,
                Err(error) => return Err(error.into()),
            };
            let gives = !page.records.is_empty();
            for (offset, record) in page.records {
                size += record.size();
                read.records.push(Given { topic: topic.name().clone(), partition, offset, record });
            }
            if page.next_offset > from {
                read.moved.push(Moved { at, from, next: Some(page.next_offset), gives });
            }
        }
        Ok(read)
    }

    /// Takes what was read: the next read begins behind it. What is not where it was any more is left out.
    pub(super) fn take(&self, read: Read) -> Vec<Given> {
        let Read { mut records, moved } = read;
        let mut held = self.held.lock();
        for Moved { at, from, next, gives } in moved {
            match held.places.get_mut(&at).filter(|place| place.next == Some(from)) {
                Some(place) => {
                    place.next = next;
                    place.is_ahead |= gives;
                }
                None => records.retain(|given| (&given.topic, given.partition) != (&at.0, at.1)),
            }
        }
        records
    }

    /// Waits for a record of any partition.
    pub(super) async fn wait(&self, broker: &Broker, wait: Duration) {
        let spots = self.spots(broker);
        let points = spots.iter().filter_map(|spot| WaitPoint::new(&spot.topic, spot.partition, spot.next));
        broker.wait_for_any(&points.collect::<Vec<_>>(), Isolation::Committed, wait).await;
    }
}

impl Start {
    fn spec(self) -> OffsetSpec {
        match self {
            Self::Earliest => OffsetSpec::Earliest,
            Self::Latest => OffsetSpec::Latest,
        }
    }
}

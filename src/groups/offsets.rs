//! How far a group has read: committed offsets, and those that a transaction under way is about to commit. Plain data of
//! one group; what is in here is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Partition, TimestampMs, TopicName};

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// the next record to read, as the client gave it
    pub offset: i64,
    /// of the last record read; −1 if the client did not say
    pub leader_epoch: i32,
    /// wall time of the commit
    pub committed_ms: TimestampMs,
    /// when it lapses if an old client said so
    pub expires_ms: Option<TimestampMs>,
    /// whatever the client keeps with it
    pub metadata: Arc<str>,
}

/// An offset that counts when the transaction commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    /// of the producer
    pub producer_epoch: i16,
    /// what will be in force
    pub committed: Committed,
}

/// A partition of a topic.
pub type TopicPartition = (TopicName, Partition);

/// Something of each partition.
type ByPartition<T> = BTreeMap<TopicName, BTreeMap<Partition, T>>;

/// The offsets of one group.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    committed: ByPartition<Committed>,
    /// by producer
    pending: BTreeMap<i64, ByPartition<Pending>>,
    bytes: usize,
}

/// From when on an offset that nobody uses is kept for the retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unused {
    /// since the group became empty, at this time
    Since(TimestampMs),
    /// since each was committed
    SinceCommit,
}

impl Committed {
    /// The entry with its place in the maps, about (counted by hand).
    const OVERHEAD: usize = 144;

    pub(super) fn bytes(&self) -> usize {
        Self::OVERHEAD + self.metadata.len()
    }

    fn is_expired(&self, unused: Unused, now_ms: TimestampMs, kept_ms: i64) -> bool {
        let since = match unused {
            Unused::Since(ms) => ms,
            Unused::SinceCommit => self.committed_ms,
        };
        match self.expires_ms {
            Some(at) => now_ms >= at,
            None => now_ms.saturating_sub(since) >= kept_ms,
        }
    }
}

impl Offsets {
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&self, topic: &str, partition: Partition) -> Option<&Committed> {
        self.committed.get(topic)?.get(&partition)
    }

    /// All committed offsets in the order of topics and partitions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicName, Partition, &Committed)> {
        let all = self.committed.iter();
        all.flat_map(|(topic, list)| list.iter().map(move |(partition, c)| (topic, *partition, c)))
    }

    pub(super) fn put(&mut self, topic: TopicName, partition: Partition, committed: Committed) {
        self.bytes += committed.bytes();
        let old = self.committed.entry(topic).or_default().insert(partition, committed);
        if let Some(old) = old {
            self.bytes -= old.bytes();
        }
    }

    pub(super) fn remove(&mut self, topic: &str, partition: Partition) {
        let Some(list) = self.committed.get_mut(topic) else { return };
        if let Some(old) = list.remove(&partition) {
            self.bytes -= old.bytes();
        }
        if list.is_empty() {
            self.committed.remove(topic);
        }
    }

    /// Is a transaction about to change this offset?
    pub(super) fn is_unstable(&self, topic: &str, partition: Partition) -> bool {
        self.pending.values().any(|list| has(list, topic, partition))
    }

    pub(super) fn put_pending(&mut self, producer_id: i64, at: TopicPartition, pending: Pending) {
        self.bytes += pending.committed.bytes();
        let list = self.pending.entry(producer_id).or_default();
        let old = list.entry(at.0).or_default().insert(at.1, pending);
        if let Some(old) = old {
            self.bytes -= old.committed.bytes();
        }
    }

    /// What a producer's transaction is about to commit.
    pub(super) fn due(&self, producer_id: i64) -> Vec<(TopicPartition, Committed)> {
        let all = self.pending.get(&producer_id).into_iter().flatten();
        let all = all.flat_map(|(topic, list)| list.iter().map(move |(partition, p)| (topic, partition, p)));
        all.map(|(topic, partition, p)| ((topic.clone(), *partition), p.committed.clone())).collect()
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn remove_pending(&mut self, producer_id: i64) {
        let gone = self.pending.remove(&producer_id).unwrap_or_default();
        let gone = gone.values().flat_map(BTreeMap::values);
        self.bytes -= gone.map(|p| p.committed.bytes()).sum::<usize>();
    }

    /// The producers whose transactions are about to change an offset.
    pub(super) fn pending_of(&self, topic: &str, partition: Partition) -> Vec<i64> {
        let all = self.pending.iter();
        all.filter(|(_, list)| has(list, topic, partition)).map(|(id, _)| *id).collect()
    }

    pub(super) fn remove_pending_of(&mut self, producer_id: i64, topic: &str, partition: Partition) {
        let Some(list) = self.pending.get_mut(&producer_id) else { return };
        let Some(partitions) = list.get_mut(topic) else { return };
        if let Some(old) = partitions.remove(&partition) {
            self.bytes -= old.committed.bytes();
        }
        if partitions.is_empty() {
            list.remove(topic);
        }
        if list.is_empty() {
            self.pending.remove(&producer_id);
        }
    }

    /// Every partition of a topic that has an offset, committed or pending.
    pub(super) fn partitions_of(&self, topic: &str) -> Vec<Partition> {
        let committed = self.committed.get(topic).into_iter().flat_map(BTreeMap::keys);
        let pending = self.pending.values().filter_map(|list| list.get(topic)).flat_map(BTreeMap::keys);
        committed.chain(pending).copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Topics with a committed or pending offset.
    pub(super) fn topics(&self) -> Vec<TopicName> {
        let pending = self.pending.values().flat_map(BTreeMap::keys);
        self.committed.keys().chain(pending).collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Producers with a transaction under way.
    pub(super) fn producers(&self) -> Vec<i64> {
        self.pending.keys().copied().collect()
    }

    /// Offsets whose time has come, of topics that are not read.
    pub(super) fn expired(
        &self,
        unused: Unused,
        now_ms: TimestampMs,
        kept_ms: i64,
        is_read: impl Fn(&str) -> bool,
    ) -> Vec<TopicPartition> {
        let is_due = |topic: &TopicName, partition: Partition, committed: &Committed| {
            !is_read(topic.as_str())
                && committed.is_expired(unused, now_ms, kept_ms)
                && !self.is_unstable(topic.as_str(), partition)
        };
        let due = self.iter().filter(|(topic, partition, committed)| is_due(topic, *partition, committed));
        due.map(|(topic, partition, _)| (topic.clone(), partition)).collect()
    }
}

fn has(list: &ByPartition<Pending>, topic: &str, partition: Partition) -> bool {
    list.get(topic).is_some_and(|partitions| partitions.contains_key(&partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn committed(offset: i64, committed_ms: i64) -> Committed {
        Committed { offset, leader_epoch: -1, committed_ms, expires_ms: None, metadata: "m".into() }
    }

    fn pending(offset: i64) -> Pending {
        Pending { producer_epoch: 0, committed: committed(offset, 0) }
    }

    #[test]
    fn memory_is_counted_and_given_back() {
        let mut group = Offsets::default();
        group.put(topic("a"), 0, committed(1, 0));
        group.put(topic("a"), 0, committed(2, 0));
        group.put_pending(7, (topic("a"), 1), pending(3));
        group.put_pending(7, (topic("a"), 1), pending(4));
        group.put_pending(8, (topic("b"), 1), pending(4));
        assert_eq!(group.bytes(), 3 * committed(0, 0).bytes());
        group.remove("a", 0);
        group.remove("a", 0);
        group.remove_pending(7);
        group.remove_pending_of(8, "b", 1);
        assert_eq!(group.bytes(), 0);
        assert!(group.is_empty());
    }

    #[test]
    fn an_offset_is_unstable_while_a_transaction_is_about_to_change_it() {
        let mut group = Offsets::default();
        group.put_pending(7, (topic("a"), 0), pending(10));
        assert!(group.is_unstable("a", 0));
        assert!(!group.is_unstable("a", 1) && !group.is_unstable("b", 0));
        assert_eq!(group.pending_of("a", 0), [7]);
        assert_eq!(group.due(7), [((topic("a"), 0), committed(10, 0))]);
        group.remove_pending(7);
        assert!(!group.is_unstable("a", 0));
    }

    #[test]
    fn offsets_expire_from_the_time_that_counts_unless_they_are_read_or_pending() {
        let mut group = Offsets::default();
        group.put(topic("old"), 0, committed(1, 100));
        group.put(topic("new"), 0, committed(1, 900));
        group.put(topic("read"), 0, committed(1, 0));
        group.put(topic("pending"), 0, committed(1, 0));
        group.put_pending(7, (topic("pending"), 0), pending(10));
        let own = Committed { expires_ms: Some(950), ..committed(1, 949) };
        group.put(topic("own"), 0, own);
        let expired = |unused, now_ms| {
            let list = group.expired(unused, now_ms, 500, |topic| topic == "read");
            list.into_iter().map(|(topic, _)| topic.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(expired(Unused::SinceCommit, 949), ["old"]);
        assert_eq!(expired(Unused::SinceCommit, 950), ["old", "own"]);
        assert_eq!(expired(Unused::Since(600), 1_099), ["own"]);
        assert_eq!(expired(Unused::Since(600), 1_100), ["new", "old", "own"]);
    }
}

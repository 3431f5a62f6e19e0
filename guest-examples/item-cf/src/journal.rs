//! What was learnt lately and is not in the rows of state yet. Pure data; must know nothing of stores or scores.
//!
//! One event changes up to fifty-one rows of a kilobyte or two. Writing them all with each event is what a recommender
//! would spend most of its time on, so the event itself is written, a hundred bytes, and a row only when an event that it
//! has not in state becomes the oldest. In between it takes hundreds of events into its memory. Who opens the state anew
//! reads the events again: a row says up to which event it knows them, and takes the later ones in when it is needed.
//!
//! ```text
//! key    = number of the first event, 16 digits
//! value  = event*
//! event  = item id varint | count varint | (item id varint)*count      the items it was paired with, in order
//! ```

use std::collections::{HashMap, VecDeque};

use common::{Reader, put_varint};

/// Bytes of events that are kept; beyond, the oldest go, and the rows that need them are written. About 2,500 events with
/// full histories, which are read again in a few milliseconds (a guess with the memory of an instance in mind).
const BYTES_MAX: usize = 256 << 10;
/// Bytes of one entry, above which a batch makes another: state takes 900 KiB.
const ENTRY_BYTES_MAX: usize = 64 << 10;

/// The events of late, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// number of the next event
    next: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// pairs that rows in state may lack, by item; only of events from before the instance was made
    pending: HashMap<u32, Vec<Pair>>,
    /// entries of the running batch
    made: Vec<(Entry, Vec<u8>)>,
}

/// Events that stand in state together.
#[derive(Debug, Default)]
struct Entry {
    first: u64,
    bytes: usize,
    /// ids of the items whose rows they change
    items: Vec<u32>,
}

/// A pair that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    /// number of the event
    pub(crate) event: u64,
    /// id of the other item
    pub(crate) other: u32,
}

impl Journal {
    /// Number of the next event: a row written now knows all before it.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Takes in an entry of state; in the order of their keys. None: it is no entry.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let first = std::str::from_utf8(key).ok()?.parse().ok()?;
        let mut entry = Entry { first, bytes: value.len(), items: Vec::new() };
        self.next = first;
        let mut reader = Reader::new(value);
        while !reader.is_empty() {
            let item = reader.varint32()?;
            entry.items.push(item);
            for _ in 0..reader.varint32()? {
                let other = reader.varint32()?;
                entry.items.push(other);
                self.pend(item, other);
                self.pend(other, item);
            }
            self.next += 1;
        }
        entry.close();
        self.bytes += entry.bytes;
        self.entries.push_back(entry);
        Some(())
    }

    fn pend(&mut self, item: u32, other: u32) {
        self.pending.entry(item).or_default().push(Pair { event: self.next, other });
    }

    /// The pairs, in order, that a row which knows all events before `known` lacks. They are asked for once.
    pub(crate) fn take_pending(&mut self, item: u32, known: u64) -> impl Iterator<Item = Pair> + use<> {
        let pairs = self.pending.remove(&item).unwrap_or_default();
        pairs.into_iter().filter(move |pair| pair.event >= known)
    }

    /// How many of the oldest entries go with the running batch. The newest stays: the numbers go on after it.
    fn due(&self) -> usize {
        let mut left = self.bytes;
        let is_due = |entry: &&Entry| {
            let is_over = left > BYTES_MAX;
            left -= entry.bytes;
            is_over
        };
        self.entries.iter().take_while(is_due).count().min(self.entries.len().saturating_sub(1))
    }

    /// The first event that stays: a row that lacks an earlier one in state has to be written before the running batch ends.
    pub(crate) fn due_end(&self) -> u64 {
        self.entries.get(self.due()).map_or(0, |entry| entry.first)
    }

    /// The ids of the items that the events before it have changed. Some come more than once.
    pub(crate) fn due_items(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().take(self.due()).flat_map(|entry| entry.items.iter().copied())
    }

    /// Those of them whose rows lack events and are not in memory.
    pub(crate) fn due_rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.due_items().filter(|item| self.pending.contains_key(item))
    }

    /// The next event: `item` was met after `others`; ids. Returns its number.
    pub(crate) fn push(&mut self, item: u32, others: impl ExactSizeIterator<Item = u32>) -> u64 {
        if self.made.last().is_none_or(|(_, value)| value.len() > ENTRY_BYTES_MAX) {
            self.made.push((Entry { first: self.next, ..Entry::default() }, Vec::new()));
        }
        let (entry, value) = self.made.last_mut().expect("pushed above if there was none");
        put_varint(u64::from(item), value);
        put_varint(others.len() as u64, value);
        entry.items.push(item);
        for other in others {
            put_varint(u64::from(other), value);
            entry.items.push(other);
        }
        self.next += 1;
        self.next - 1
    }

    /// What changes in state at the end of a batch: entries that are new, and old ones that go.
    pub(crate) fn take_changes(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let due = self.due();
        let mut changes = Vec::with_capacity(due + self.made.len());
        for entry in self.entries.drain(..due) {
            self.bytes -= entry.bytes;
            changes.push((key(entry.first), None));
        }
        for (mut entry, value) in self.made.drain(..) {
            entry.bytes = value.len();
            entry.close();
            self.bytes += entry.bytes;
            changes.push((key(entry.first), Some(value)));
            self.entries.push_back(entry);
        }
        changes
    }
}

impl Entry {
    /// All its events are in.
    fn close(&mut self) {
        self.items.sort_unstable();
        self.items.dedup();
        self.items.shrink_to_fit();
    }
}

fn key(first: u64) -> String {
    format!("{first:016}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(journal: &mut Journal, item: u32, known: u64) -> Vec<(u64, u32)> {
        journal.take_pending(item, known).map(|pair| (pair.event, pair.other)).collect()
    }

    #[test]
    fn events_come_back_as_the_pairs_that_rows_lack() {
        let mut journal = Journal::default();
        journal.push(7, [].into_iter());
        journal.push(300, [7].into_iter());
        let mut stored = journal.take_changes();
        journal.push(7, [300, 9].into_iter());
        stored.extend(journal.take_changes());
        assert_eq!(stored[0], ("0000000000000000".into(), Some(vec![7, 0, 0xac, 2, 1, 7])));

        let mut read = Journal::default();
        for (key, value) in &stored {
            read.load(key.as_bytes(), value.as_deref().expect("an entry")).expect("an entry");
        }
        assert_eq!((read.next(), read.bytes), (journal.next(), journal.bytes));
        assert_eq!(pending(&mut read, 7, 0), [(1, 300), (2, 300), (2, 9)]);
        assert_eq!(pending(&mut read, 7, 0), []);
        assert_eq!(pending(&mut read, 300, 2), [(2, 7)]);
        assert_eq!(pending(&mut journal, 9, 0), [], "what it has seen itself is in the rows in memory");
    }

    #[test]
    fn the_oldest_go_when_there_is_too_much_and_the_newest_stays() {
        let mut journal = Journal::default();
        for event in 0..5000 {
            journal.push(event, (0..50).map(|n| event + n + 1));
            let changes = journal.take_changes();
            assert!(changes.len() <= 3);
            assert!(journal.bytes <= BYTES_MAX + 2 * 256);
        }
        assert_eq!(journal.due_items().count(), 51 * journal.due());
        let mut large = Journal::default();
        for event in 0..5000 {
            large.push(event, (0..50).map(|n| event + n + 1));
        }
        let written = large.take_changes();
        assert!(
            written.iter().all(|(_, value)| value.as_ref().is_some_and(|v| v.len() <= ENTRY_BYTES_MAX + 512))
        );
        large.push(1, [].into_iter());
        large.take_changes();
        assert!(large.bytes <= BYTES_MAX && !large.entries.is_empty());
        let gone = large.take_changes();
        assert!(gone.is_empty());
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for (key, value) in
            [("x", &b""[..]), ("1", b"\x05"), ("1", b"\x05\x02\x01"), ("1", b"\xff\xff\xff\xff\xff\0")]
        {
            assert_eq!(Journal::default().load(key.as_bytes(), value), None, "{key} {value:?}");
        }
    }
}

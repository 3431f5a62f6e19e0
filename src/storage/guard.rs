//! The log-end guard: a small file beside the database that says how far each log certainly reaches.
//!
//! RocksDB opens in spite of a damaged log tail, as it must after a loss of power, but it cannot tell a torn tail from
//! damage to what was synced long ago: both simply end earlier. The guard can. It is written every few seconds and when
//! the storage is closed, from offsets that were synced before.
//!
//! ```text
//! "MSGUARD1" | topics u32 | for each: id 16, name length u8, name, partitions u32, ends u64 each | CRC-32C u32
//! ```

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::model::{Offset, TopicId};

use super::directory::write_durably;
use super::log::Log;

const MAGIC: &[u8; 8] = b"MSGUARD1";

/// A topic as the guard knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: TopicId,
    pub(super) name: String,
    /// by partition
    pub(super) ends: Vec<Offset>,
}

pub(super) struct Guard {
    path: PathBuf,
    /// what was written last; the lock also keeps a deletion from being undone by a round under way
    pub(super) last: Mutex<Vec<Entry>>,
}

impl Entry {
    pub(super) fn of(name: &str, id: TopicId, logs: &[Arc<Log>]) -> Self {
        Self { id, name: name.to_owned(), ends: logs.iter().map(|log| log.durable()).collect() }
    }
}

impl Guard {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, last: Mutex::default() }
    }

    /// Writes the file if it would say something new.
    pub(super) fn write(&self, last: &mut Vec<Entry>, entries: Vec<Entry>) -> io::Result<()> {
        if *last != entries {
            write_durably(&self.path, &encode(&entries))?;
            *last = entries;
        }
        Ok(())
    }
}

/// What the file says; nothing if there is none.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, String> {
    match std::fs::read(path) {
        Ok(bytes) => decode(&bytes).ok_or_else(|| "it is damaged".to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e.to_string()),
    }
}

/// One sentence for each topic that ends earlier than the guard says. `tails` gives the ends found by partition;
/// `None`: the topic is not there at all.
pub(super) fn losses(guarded: &[Entry], tails: impl Fn(TopicId) -> Option<Vec<Offset>>) -> Vec<String> {
    let mut losses = Vec::new();
    for entry in guarded {
        let Some(found) = tails(entry.id) else {
            losses.push(format!("topic `{}` was stored and is not there any more", entry.name));
            continue;
        };
        let mut lost = String::new();
        for (partition, end) in entry.ends.iter().enumerate() {
            let found = found.get(partition).copied().unwrap_or(0);
            if found < *end {
                let _ = write!(lost, "; partition {partition} ends at {found} instead of {end}");
            }
        }
        if !lost.is_empty() {
            losses.push(format!("topic `{}` has lost records that were synced{lost}", entry.name));
        }
    }
    losses
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    for entry in entries {
        out.extend_from_slice(entry.id.0.as_bytes());
        // Names have at most 249 characters.
        out.push(entry.name.len() as u8);
        out.extend_from_slice(entry.name.as_bytes());
        out.extend_from_slice(&(entry.ends.len() as u32).to_be_bytes());
        for end in &entry.ends {
            out.extend_from_slice(&end.to_be_bytes());
        }
    }
    let crc = checksum(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn decode(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    if u32::from_be_bytes(*crc) != checksum(content) {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let count = take_u32(&mut rest)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let (id, after) = rest.split_first_chunk::<16>()?;
        let (length, after) = after.split_first()?;
        let (name, after) = after.split_at_checked(usize::from(*length))?;
        rest = after;
        let partitions = take_u32(&mut rest)? as usize;
        let (ends, after) = rest.split_at_checked(partitions.checked_mul(8)?)?;
        rest = after;
        let ends = ends.as_chunks::<8>().0.iter().map(|e| u64::from_be_bytes(*e)).collect();
        let name = std::str::from_utf8(name).ok()?.to_owned();
        entries.push(Entry { id: TopicId(Uuid::from_bytes(*id)), name, ends });
    }
    rest.is_empty().then_some(entries)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: u128, name: &str, ends: &[Offset]) -> Entry {
        Entry { id: TopicId(Uuid::from_u128(id)), name: name.to_owned(), ends: ends.to_vec() }
    }

    proptest! {
        #[test]
        fn a_guard_reads_back(rows in prop::collection::vec((any::<u128>(), "[a-z]{1,249}", any::<Vec<u64>>()), 0..5)) {
            let entries: Vec<_> = rows.iter().map(|(id, name, ends)| entry(*id, name, ends)).collect();
            prop_assert_eq!(decode(&encode(&entries)), Some(entries));
        }

        #[test]
        fn a_changed_or_cut_guard_is_refused(at: prop::sample::Index, bit in 0..8u8, cut: prop::sample::Index) {
            let whole = encode(&[entry(1, "orders", &[5, 6])]);
            let mut changed = whole.clone();
            changed[at.index(whole.len())] ^= 1 << bit;
            prop_assert_eq!(decode(&changed), None);
            prop_assert_eq!(decode(&whole[..cut.index(whole.len())]), None);
        }
    }

    #[test]
    fn losses_name_topics_and_partitions() {
        let guarded = [entry(1, "orders", &[5, 6]), entry(2, "clicks", &[1]), entry(3, "fine", &[9])];
        let found = losses(&guarded, |id| match id.0.as_u128() {
            1 => Some(vec![5, 4]),
            3 => Some(vec![9, 9]),
            _ => None,
        });
        let expected = [
            "topic `orders` has lost records that were synced; partition 1 ends at 4 instead of 6",
            "topic `clicks` was stored and is not there any more",
        ];
        assert_eq!(found, expected);
    }
}

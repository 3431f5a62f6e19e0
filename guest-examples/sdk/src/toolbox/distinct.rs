//! How many different ones: exactly, at the price of a row for each, or nearly, in a few kilobytes.

use std::hash::{Hash, Hasher};

use crate::model::Fault;

use super::codec::{Key, Stored};
use super::hash::{Multiply, mix};
use super::table::Table;
use super::windows::Merge;

/// What has been seen, exactly: a row per group and item.
///
/// An item is seen under any of eight *aspects*, so that several distinct counts of one item, such as all users and those
/// that paid, are one row.
#[derive(Debug)]
pub struct Distinct<G, T> {
    seen: Table<(G, T), u8>,
}

// === impl Distinct ===

impl<G: Key, T: Key> Distinct<G, T> {
    /// Opens the store of this name.
    pub fn open(store: &str) -> Self {
        Self { seen: Table::open(store) }
    }

    /// Sets the memory of the cache, see [`Table::cache`].
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.seen = self.seen.cache(bytes);
        self
    }

    /// Brings in what a batch asks for.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn load(&mut self, items: impl IntoIterator<Item = (G, T)>) -> Result<(), Fault> {
        self.seen.load(items)
    }

    /// Marks an item, loaded in this batch, as seen under the aspects of these bits. Returns those under which it was not
    /// seen before: each adds one to its count.
    ///
    /// # Panics
    /// When the item was not loaded.
    pub fn see(&mut self, item: &(G, T), aspects: u8) -> u8 {
        let before = self.seen.get(item).copied().unwrap_or(0);
        let new = aspects & !before;
        if new != 0 {
            *self.seen.row(item) = Some(before | new);
        }
        new
    }

    /// Writes what was seen in the batch.
    pub fn flush(&mut self) {
        self.seen.flush();
    }
}

/// Bits of a hash that choose a register: 4096 of them, a standard error of 1.04 / √4096 = 1.6 % (Flajolet et al.,
/// HyperLogLog, 2007).
const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;

/// How many different ones, within about 2 %, in up to 4 KiB: an aggregate for windows and rows. While few registers are in
/// use only those take room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HyperLogLog {
    /// by register; empty: all are 0
    ranks: Vec<u8>,
}

// === impl HyperLogLog ===

impl HyperLogLog {
    /// Adds one; which one is told by its hash.
    pub fn add(&mut self, value: impl Hash) {
        let mut hasher = Multiply::default();
        value.hash(&mut hasher);
        let hash = mix(hasher.finish());
        let register = (hash >> (u64::BITS - PRECISION)) as usize;
        let rank = ((hash << PRECISION).leading_zeros() + 1).min(u64::BITS - PRECISION + 1) as u8;
        let kept = &mut self.ranks_mut()[register];
        *kept = (*kept).max(rank);
    }

    /// The estimate.
    pub fn count(&self) -> u64 {
        let registers = REGISTERS as f64;
        let mut sum = 0.0;
        let mut zeros = REGISTERS - self.ranks.len();
        for &rank in &self.ranks {
            sum += 1.0 / (1_u64 << rank) as f64;
            zeros += usize::from(rank == 0);
        }
        if self.ranks.is_empty() {
            return 0;
        }
        let raw = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        // Small numbers are told better by the registers that are still empty.
        let linear = raw <= 2.5 * registers && zeros > 0;
        let estimate = if linear { registers * (registers / zeros as f64).ln() } else { raw };
        estimate.round() as u64
    }

    fn ranks_mut(&mut self) -> &mut [u8] {
        if self.ranks.is_empty() {
            self.ranks = vec![0; REGISTERS];
        }
        &mut self.ranks
    }
}

impl Merge for HyperLogLog {
    fn merge(&mut self, other: Self) {
        if other.ranks.is_empty() {
            return;
        }
        for (kept, rank) in self.ranks_mut().iter_mut().zip(other.ranks) {
            *kept = (*kept).max(rank);
        }
    }
}

/// The number of registers in use, then register and rank of each, or all ranks where that is shorter.
impl Stored for HyperLogLog {
    fn put(&self, to: &mut Vec<u8>) {
        let used = self.ranks.iter().filter(|rank| **rank != 0).count();
        (used as u16).put(to);
        if used * 3 >= REGISTERS {
            to.extend_from_slice(&self.ranks);
            return;
        }
        for (register, rank) in self.ranks.iter().enumerate().filter(|(_, rank)| **rank != 0) {
            (register as u16).put(to);
            rank.put(to);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let used = usize::from(u16::take(from)?);
        let mut taken = Self::default();
        if used * 3 >= REGISTERS {
            let (ranks, rest) = from.split_at_checked(REGISTERS)?;
            *from = rest;
            taken.ranks = ranks.to_vec();
        } else {
            for _ in 0..used {
                let (register, rank) = (u16::take(from)?, u8::take(from)?);
                *taken.ranks_mut().get_mut(usize::from(register))? = rank;
            }
        }
        // A rank is a number of bits; more would be no number.
        let fits = taken.ranks.iter().all(|rank| u32::from(*rank) <= u64::BITS - PRECISION + 1);
        fits.then_some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolbox::{decode, encode};

    #[test]
    fn an_item_counts_once_under_each_aspect() {
        let mut users: Distinct<u64, u64> = Distinct::open("users");
        users.load([(1, 7), (1, 8)]).unwrap();
        assert_eq!(users.see(&(1, 7), 0b01), 0b01);
        assert_eq!(users.see(&(1, 7), 0b11), 0b10);
        assert_eq!(users.see(&(1, 7), 0b11), 0);
        assert_eq!(users.see(&(1, 8), 0b01), 0b01);
    }

    #[test]
    fn estimates_are_within_five_standard_errors() {
        for count in [0_u64, 1, 10, 1_000, 10_000, 100_000, 1_000_000] {
            let mut halves = [HyperLogLog::default(), HyperLogLog::default()];
            for value in 0..count {
                halves[usize::from(value % 3 == 0)].add(value);
                halves[0].add(value);
            }
            let [mut all, some] = halves;
            all.merge(some);
            let off = (all.count() as f64 - count as f64).abs();
            assert!(off <= 0.08 * count as f64, "{count} are taken for {}", all.count());
            assert!(decode(&encode(&all)) == Some(all), "{count}");
        }
    }
}

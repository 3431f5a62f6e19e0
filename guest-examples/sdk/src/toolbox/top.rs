//! The greatest few of many, in bounded memory.

use super::codec::Stored;
use super::windows::Merge;

/// At most `N` values, the greatest first. Equal ones are kept once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top<T, const N: usize> {
    values: Vec<T>,
}

// === impl Top ===

impl<T: Ord, const N: usize> Top<T, N> {
    /// Offers a value, and says at which place from 0 it now stands; none: it is not among them, or was there already.
    pub fn offer(&mut self, value: T) -> Option<usize> {
        // Most values are offered to a full list and are below its last.
        if self.values.len() == N && self.values.last().is_none_or(|last| value <= *last) {
            return None;
        }
        let place = self.values.binary_search_by(|kept| value.cmp(kept)).err()?;
        self.values.truncate(N - 1);
        self.values.insert(place, value);
        Some(place)
    }

    /// The values, the greatest first.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

impl<T, const N: usize> Default for Top<T, N> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

impl<T: Ord, const N: usize> Merge for Top<T, N> {
    fn merge(&mut self, other: Self) {
        for value in other.values {
            self.offer(value);
        }
    }
}

impl<T: Stored, const N: usize> Stored for Top<T, N> {
    fn put(&self, to: &mut Vec<u8>) {
        self.values.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self { values: Vec::take(from)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_stay_in_their_order() {
        let mut top: Top<u64, 3> = Top::default();
        let places: Vec<_> = [5, 1, 9, 5, 7, 2].into_iter().map(|value| top.offer(value)).collect();
        assert_eq!(places, [Some(0), Some(1), Some(0), None, Some(1), None]);
        assert_eq!(top.values(), [9, 7, 5]);
        let mut other: Top<u64, 3> = Top::default();
        for value in [8, 7, 0] {
            other.offer(value);
        }
        top.merge(other);
        assert_eq!(top.values(), [9, 8, 7]);
    }

    #[test]
    fn a_top_of_none_keeps_none() {
        assert_eq!(Top::<u64, 0>::default().offer(1), None);
    }
}

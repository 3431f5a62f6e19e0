//! A hash map for keys that are small and come out of one's own encoding.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by a hash of a multiplication per word; the standard one costs several times as much in Wasm. Its order is not
/// to be relied upon. Who can choose keys can make it slow, within the CPU limit of a call.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Multiply>>;

/// The hasher of [`Map`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Multiply(u64);

/// An odd number without a pattern: 2⁶⁴ divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes all bits of a number into all bits.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 32)).wrapping_mul(FACTOR);
    let number = (number ^ (number >> 29)).wrapping_mul(FACTOR);
    number ^ (number >> 32)
}

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        // A multiplication carries differences upwards only, and the table takes its places from the low bits.
        mix(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(FACTOR);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    /// How many of 4096 places `keys` take; at random it would be 63 % of as many.
    fn places(keys: impl Iterator<Item = impl std::hash::Hash>) -> usize {
        let hasher = BuildHasherDefault::<Multiply>::default();
        let mut places: Vec<u64> = keys.take(4096).map(|key| hasher.hash_one(key) % 4096).collect();
        places.sort_unstable();
        places.dedup();
        places.len()
    }

    #[test]
    fn keys_that_differ_a_little_lie_far_apart() {
        assert!(places(0_u64..) > 2_400);
        assert!(places((0_u64..).map(|n| n << 40)) > 2_400);
        assert!(places((0_u64..).map(|n| (7_u64, n))) > 2_400);
        assert!(places((0_u64..).map(|n| (n, 7_u64))) > 2_400);
        assert!(places((0_u64..).map(|n| format!("channel-{n}"))) > 2_400);
    }
}

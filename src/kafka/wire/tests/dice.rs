//! Random messages: every field that a version has gets a random value, every other one its default.

use std::collections::BTreeSet;

use bytes::Bytes;
use uuid::Uuid;

use crate::kafka::wire::codec::FieldSpec;
use crate::kafka::wire::{Records, Str};

/// The seed of a run: the environment's `WIRE_SEED`, or a fixed one.
pub(super) fn seed() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test that takes its seed back")]
    let given = std::env::var("WIRE_SEED").ok();
    given.map_or(0x5eed, |text| text.parse().expect("WIRE_SEED is a number"))
}

/// A source of values (splitmix64).
pub(crate) struct Dice {
    state: u64,
    version: i16,
    /// leaves every tagged field at its default
    pub(super) untagged: bool,
    /// fields that were on the wire
    pub(super) asked: BTreeSet<(&'static str, &'static str)>,
    /// those of them that were not left at their default
    pub(super) filled: BTreeSet<(&'static str, &'static str)>,
}

/// What the dice can make.
pub(crate) trait Generate: PartialEq {
    /// `nullable`: null is among the values.
    fn generate(dice: &mut Dice, nullable: bool) -> Self;
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, version: 0, untagged: false, asked: BTreeSet::new(), filled: BTreeSet::new() }
    }

    /// A message of `version`.
    pub(super) fn message<M: Generate>(&mut self, version: i16) -> M {
        self.version = version;
        M::generate(self, false)
    }

    /// A field, or `default` if the version does not have it.
    pub(crate) fn field<T: Generate>(&mut self, spec: &'static FieldSpec, default: T) -> T {
        if !spec.versions.contain(self.version) {
            return default;
        }
        self.asked.insert((spec.message, spec.name));
        if spec.tag.is_some() && (self.untagged || self.below(3) == 0) {
            return default;
        }
        let value = T::generate(self, spec.nullable.contain(self.version));
        if value != default {
            self.filled.insert((spec.message, spec.name));
        }
        value
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Mostly short; sometimes on either side of where a varint grows, or long enough to be a segment of its own.
    fn len(&mut self) -> usize {
        match self.below(24) {
            0 => 0,
            1 => 126 + self.below(3),
            2 => 500 + self.below(200),
            _ => 1 + self.below(12),
        }
    }
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Generate for $ty {
            fn generate(dice: &mut Dice, _nullable: bool) -> Self {
                match dice.below(8) {
                    0 => Self::MIN,
                    1 => Self::MAX,
                    2 => 0,
                    _ => dice.next() as Self,
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u16);

impl Generate for bool {
    fn generate(dice: &mut Dice, _nullable: bool) -> Self {
        dice.below(2) == 0
    }
}

impl Generate for Uuid {
    fn generate(dice: &mut Dice, _nullable: bool) -> Self {
        Self::from_u64_pair(dice.next(), dice.next())
    }
}

impl Generate for Str {
    fn generate(dice: &mut Dice, _nullable: bool) -> Self {
        // No parentheses: the comparison by `Debug` looks for those of the oracle's newtypes.
        const LETTERS: [char; 8] = ['a', 'z', '0', '-', '_', '.', 'é', '✓'];
        let len = dice.len();
        Self::from((0..len).map(|_| LETTERS[dice.below(LETTERS.len())]).collect::<String>())
    }
}

impl Generate for Bytes {
    fn generate(dice: &mut Dice, _nullable: bool) -> Self {
        let len = dice.len();
        (0..len).map(|_| dice.next() as u8).collect()
    }
}

impl Generate for Records {
    fn generate(dice: &mut Dice, _nullable: bool) -> Self {
        Self::from(Bytes::generate(dice, false))
    }
}

impl<T: Generate> Generate for Vec<T> {
    fn generate(dice: &mut Dice, _nullable: bool) -> Self {
        let len = dice.below(4);
        (0..len).map(|_| T::generate(dice, false)).collect()
    }
}

impl<T: Generate> Generate for Option<T> {
    fn generate(dice: &mut Dice, nullable: bool) -> Self {
        if nullable && dice.below(3) == 0 { None } else { Some(T::generate(dice, false)) }
    }
}

//! Space-Saving with weights that halve with time. A fixed number of counters; an item that has none takes over the lightest
//! one with its weight, and remembers as its error what was not its own. So a weight is never too low, by no more than its
//! error too high, and an item with more than 1/counters of all weight always has a counter.
//!
//! Instead of all weights getting lighter, what comes later is heavier: a record counts 2^((its time - epoch) / half-life).
//! Long before numbers get too large the epoch is moved, and every weight is scaled once.
//!
//! ```text
//! counter  weight f64 little endian | error f64 little endian, both as of the epoch
//! clock    epoch i64 little endian | newest i64 little endian
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// So many half-lives after the epoch a new one begins.
const EPOCH_HALF_LIVES: f64 = 64.0;

type Item = Box<[u8]>;
/// An item's row in its store, none to delete it.
pub(crate) type Change = (Item, Option<Vec<u8>>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Counter {
    weight: f64,
    error: f64,
}

/// The counters.
#[derive(Debug)]
pub(crate) struct Sketch {
    most: usize,
    /// milliseconds; 0: for ever
    half_life: i64,
    counters: HashMap<Item, Counter>,
    /// the lightest first, of equal weights the greatest item: the bits of numbers that are not negative have their order
    order: BTreeSet<(u64, Reverse<Item>)>,
    epoch: Option<i64>,
    newest: i64,
    changed: BTreeSet<Item>,
}

impl Sketch {
    pub(crate) fn new(most: usize, half_life: i64) -> Self {
        Self {
            most,
            half_life,
            counters: HashMap::with_capacity(most),
            order: BTreeSet::new(),
            epoch: None,
            newest: 0,
            changed: BTreeSet::new(),
        }
    }

    /// Counts an item at a time; one without a time has the newest.
    pub(crate) fn add(&mut self, item: &[u8], time: i64) {
        let time = if time < 0 { self.newest } else { time };
        self.newest = self.newest.max(time);
        let weight = self.weight_at(time);
        match self.counters.get(item).copied() {
            Some(old) => self.set(item, Counter { weight: old.weight + weight, ..old }),
            None if self.counters.len() < self.most => self.set(item, Counter { weight, error: 0.0 }),
            None => {
                let least = self.take_lightest();
                self.set(item, Counter { weight: least + weight, error: least });
            }
        }
    }

    /// The heaviest items with weight and error as of the newest record.
    pub(crate) fn top(&self, most: usize) -> impl Iterator<Item = (&[u8], (f64, f64))> {
        let now = 1.0 / self.scale(self.newest);
        let heaviest = self.order.iter().rev().take(most);
        heaviest.filter_map(move |(_, Reverse(item))| {
            let Counter { weight, error } = self.counters.get(item)?;
            Some((&**item, (weight * now, error * now)))
        })
    }

    /// Epoch and newest time.
    pub(crate) fn clock(&self) -> (i64, i64) {
        (self.epoch.unwrap_or(self.newest), self.newest)
    }

    pub(crate) fn encode_clock(&self) -> Vec<u8> {
        let (epoch, newest) = self.clock();
        [epoch.to_le_bytes(), newest.to_le_bytes()].concat()
    }

    /// As `encode_clock` gave it; none: these bytes are none.
    pub(crate) fn set_clock(&mut self, bytes: &[u8]) -> Option<()> {
        let (epoch, newest) = bytes.split_first_chunk()?;
        self.epoch = Some(i64::from_le_bytes(*epoch));
        self.newest = i64::from_le_bytes(newest.try_into().ok()?);
        Some(())
    }

    /// A counter of the store; none: these bytes are none.
    pub(crate) fn put(&mut self, item: &[u8], row: &[u8]) -> Option<()> {
        let (weight, error) = row.split_first_chunk()?;
        let (weight, error) = (f64::from_le_bytes(*weight), f64::from_le_bytes(error.try_into().ok()?));
        self.counters.insert(item.into(), Counter { weight, error });
        self.order.insert((weight.to_bits(), Reverse(item.into())));
        Some(())
    }

    /// Lets go of the lightest when there are more than there may be: their number was set lower.
    pub(crate) fn shrink(&mut self) {
        while self.counters.len() > self.most {
            self.take_lightest();
        }
    }

    /// The rows that have changed since the last time.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let row = |counter: &Counter| [counter.weight.to_le_bytes(), counter.error.to_le_bytes()].concat();
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|item| (item.clone(), self.counters.get(&item).map(row))).collect()
    }

    /// What a record of a time counts; a new epoch begins when that would be too much.
    fn weight_at(&mut self, time: i64) -> f64 {
        let epoch = *self.epoch.get_or_insert(time);
        if self.half_life > 0 && (time - epoch) as f64 / self.half_life as f64 > EPOCH_HALF_LIVES {
            let scale = 1.0 / self.scale(time);
            self.epoch = Some(time);
            let counters: Vec<_> =
                self.counters.iter().map(|(item, counter)| (item.clone(), *counter)).collect();
            for (item, Counter { weight, error }) in counters {
                self.set(&item, Counter { weight: weight * scale, error: error * scale });
            }
        }
        self.scale(time)
    }

    fn scale(&self, time: i64) -> f64 {
        let (epoch, _) = self.clock();
        if self.half_life <= 0 { 1.0 } else { ((time - epoch) as f64 / self.half_life as f64).exp2() }
    }

    fn set(&mut self, item: &[u8], counter: Counter) {
        if let Some(old) = self.counters.insert(item.into(), counter) {
            self.order.remove(&(old.weight.to_bits(), Reverse(item.into())));
        }
        self.order.insert((counter.weight.to_bits(), Reverse(item.into())));
        self.changed.insert(item.into());
    }

    /// Removes the lightest counter, and gives its weight.
    fn take_lightest(&mut self) -> f64 {
        let Some((weight, Reverse(item))) = self.order.pop_first() else { return 0.0 };
        self.counters.remove(&item);
        self.changed.insert(item);
        f64::from_bits(weight)
    }
}

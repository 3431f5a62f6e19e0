//! What is known of items and how the rules of incremental item-to-item cosine are followed, in memory. Must not touch
//! stores: `lib` brings in what a batch needs and writes back what it changed.
//!
//! For event (u, i): every item k outside of u's history scores Σ C[j][k] / √(c[j]·c[k]) over u's last 10 items j; the
//! best 10 by (score descending, id ascending) are the prediction. Then, for each j of u's last 50 items, C[i][j] and
//! C[j][i] grow by 1, c[i] grows by 1, and i joins u's history.

use std::collections::HashMap;

use crate::journal::{Journal, Pair};
use crate::row::Row;

/// Items of a prediction.
pub(crate) const PREDICTED: usize = 10;
/// Items of a history that a prediction is made of.
pub(crate) const PREDICT_FROM: usize = 10;
/// Items of a history that a new item is paired with.
pub(crate) const LEARN_FROM: usize = 50;

/// Memory for rows, in bytes: with keys, values and outputs of a batch beside it this stays well below the 64 MiB of an
/// instance (a guess with a wide margin; MovieLens-100K without a cap has 1.19 million pairs, 8 bytes each and an eighth
/// of slack).
const ROW_BYTES_MAX: usize = 24 << 20;
/// Items known at once, about 64 bytes each with the table of ids.
const ITEMS_MAX: usize = 200_000;

/// An item with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) id: u32,
    pub(crate) score: f64,
}

/// Everything in memory. Items have an index, in the order in which they were met; the vectors go by it.
#[derive(Default)]
pub(crate) struct Model {
    /// neighbours kept per item, 0: all
    keep: usize,
    index: HashMap<u32, u32>,
    pub(crate) ids: Vec<u32>,
    /// c[i]; known for the first `counted` items
    counts: Vec<u32>,
    /// 1 / √c[i], 0 for c[i] = 0
    weights: Vec<f64>,
    rows: Vec<Option<Cached>>,
    row_bytes: usize,
    counted: usize,
    /// counts that differ from state
    changed_counts: Vec<u32>,
    count_is_changed: Vec<bool>,
    /// what rows in state lack
    pub(crate) journal: Journal,
    batch: u64,
    // Scratch of `predict`: values count only where `round_*` says so, which spares clearing them.
    round: u32,
    scores: Vec<f64>,
    round_scored: Vec<u32>,
    round_excluded: Vec<u32>,
    touched: Vec<u32>,
}

/// What a batch has to write back.
pub(crate) struct Changes {
    /// by item id
    pub(crate) rows: Vec<(u32, Vec<u8>)>,
    /// by item id
    pub(crate) counts: Vec<(u32, u32)>,
    /// see [`Journal::take_changes`]
    pub(crate) events: Vec<(String, Option<Vec<u8>>)>,
}

struct Cached {
    row: Row,
    /// the batch that used it last
    used: u64,
    /// the first event that it knows and that the row in state does not
    unwritten: Option<u64>,
}

impl Model {
    pub(crate) fn new(keep: usize) -> Self {
        Self { keep, ..Self::default() }
    }

    /// The index of an item.
    pub(crate) fn intern(&mut self, id: u32) -> u32 {
        *self.index.entry(id).or_insert_with(|| {
            self.ids.push(id);
            self.counts.push(0);
            self.weights.push(0.0);
            self.rows.push(None);
            self.count_is_changed.push(false);
            self.scores.push(0.0);
            self.round_scored.push(0);
            self.round_excluded.push(0);
            self.ids.len() as u32 - 1
        })
    }

    /// Begins a batch. Afterwards every row in memory that `need_row` names stays until `end_batch`. True: nothing is in
    /// memory, so that the journal has to be read.
    pub(crate) fn begin_batch(&mut self) -> bool {
        self.batch += 1;
        self.batch == 1
    }

    /// Is the row still to be brought in with `set_row`? Ask once per item and batch.
    pub(crate) fn need_row(&mut self, item: u32) -> bool {
        match &mut self.rows[item as usize] {
            Some(cached) => {
                cached.used = self.batch;
                false
            }
            None => true,
        }
    }

    /// Brings in a row of state, none: state has none, and teaches it the events that it does not know. False: the bytes
    /// are no row.
    pub(crate) fn set_row(&mut self, item: u32, stored: Option<&[u8]>) -> bool {
        let keep = self.keep;
        let (mut row, known) = match stored {
            None => (Row::default(), 0),
            Some(bytes) => match Row::decode(bytes, keep, |id| self.intern(id)) {
                Some(read) => read,
                None => return false,
            },
        };
        let mut unwritten = None;
        for Pair { other, event } in self.journal.take_pending(self.ids[item as usize], known) {
            let other = self.intern(other);
            row.bump(other, &self.ids, keep);
            unwritten.get_or_insert(event);
        }
        self.row_bytes += row.bytes();
        self.rows[item as usize] = Some(Cached { row, used: self.batch, unwritten });
        true
    }

    /// The items whose rows the batch has to bring in, because it has to write them.
    pub(crate) fn due_rows(&mut self) -> Vec<u32> {
        let ids: Vec<u32> = self.journal.due_rows().collect();
        ids.into_iter().map(|id| self.intern(id)).collect()
    }

    /// The items, by index, whose counts are still to be brought in with `set_counts`.
    pub(crate) fn uncounted(&self) -> &[u32] {
        &self.ids[self.counted..]
    }

    /// Brings in the counts of all `uncounted` items, in their order.
    pub(crate) fn set_counts(&mut self, counts: impl Iterator<Item = u32>) {
        for count in counts {
            self.counts[self.counted] = count;
            self.weights[self.counted] = weight(count);
            self.counted += 1;
        }
    }

    /// Was the item met before?
    pub(crate) fn is_known(&self, item: u32) -> bool {
        self.counts[item as usize] > 0
    }

    /// The best items for a history of item indices, oldest first. Rows and counts it needs are there.
    pub(crate) fn predict(&mut self, history: &[u32]) -> Vec<Scored> {
        self.round += 1;
        let round = self.round;
        for &item in history {
            self.round_excluded[item as usize] = round;
        }
        self.touched.clear();
        for &item in last(history, PREDICT_FROM) {
            let Some(cached) = &self.rows[item as usize] else { continue };
            let weight = self.weights[item as usize];
            for neighbour in cached.row.neighbours() {
                let k = neighbour.item as usize;
                if self.round_scored[k] != round {
                    self.round_scored[k] = round;
                    self.scores[k] = 0.0;
                    self.touched.push(neighbour.item);
                }
                self.scores[k] += f64::from(neighbour.count) * weight;
            }
        }
        // 1 / √(c[j]·c[k]) is taken apart: the part of j above, the part of k here, once per candidate.
        let mut best: Vec<Scored> = Vec::with_capacity(PREDICTED + 1);
        for &k in &self.touched {
            let k = k as usize;
            if self.round_excluded[k] == round {
                continue;
            }
            let candidate = Scored { id: self.ids[k], score: self.scores[k] * self.weights[k] };
            let is_better = |than: &Scored| {
                candidate.score > than.score || (candidate.score == than.score && candidate.id < than.id)
            };
            if best.len() < PREDICTED || best.last().is_some_and(is_better) {
                let at = best.iter().position(is_better).unwrap_or(best.len());
                best.insert(at, candidate);
                best.truncate(PREDICTED);
            }
        }
        best
    }

    /// Learns that the user with this history met `item`, and adds it to the history.
    pub(crate) fn learn(&mut self, history: &mut Vec<u32>, item: u32) {
        // An item met again is in the history, so its pair with itself could never be predicted.
        let others: Vec<u32> = last(history, LEARN_FROM).iter().copied().filter(|&k| k != item).collect();
        let event = self.journal.next();
        for &before in &others {
            self.bump(item, before, event);
            self.bump(before, item, event);
        }
        let ids = &self.ids;
        self.journal.push(ids[item as usize], others.iter().map(|&k| ids[k as usize]));
        let i = item as usize;
        self.counts[i] += 1;
        self.weights[i] = weight(self.counts[i]);
        if !self.count_is_changed[i] {
            self.count_is_changed[i] = true;
            self.changed_counts.push(item);
        }
        history.push(item);
    }

    fn bump(&mut self, of: u32, neighbour: u32, event: u64) {
        let cached = self.rows[of as usize].get_or_insert_with(|| Cached {
            row: Row::default(),
            used: self.batch,
            unwritten: None,
        });
        let bytes = cached.row.bytes();
        cached.row.bump(neighbour, &self.ids, self.keep);
        self.row_bytes = self.row_bytes + cached.row.bytes() - bytes;
        cached.unwritten.get_or_insert(event);
    }

    /// Ends the batch: what state has to be told. Makes room: when rows take too much, those unused for longest go until
    /// three quarters of it are left; when there are too many items, everything goes. What goes is in state and comes back
    /// when it is needed.
    pub(crate) fn end_batch(&mut self) -> Changes {
        let is_too_much = self.ids.len() > ITEMS_MAX;
        let out = if is_too_much { (0..self.ids.len() as u32).collect() } else { self.unused_rows() };
        let due = self.journal.due_items().filter_map(|id| self.index.get(&id).copied());
        let due = due.zip(std::iter::repeat(self.journal.due_end()));
        let mut rows = Vec::new();
        for (item, end) in due.chain(out.iter().map(|&item| (item, u64::MAX))) {
            let Some(cached) = &mut self.rows[item as usize] else { continue };
            if cached.unwritten.is_some_and(|event| event < end) {
                cached.unwritten = None;
                rows.push((self.ids[item as usize], cached.row.encode(&self.ids, self.journal.next())));
            }
        }
        let mut counts = Vec::with_capacity(self.changed_counts.len());
        for item in self.changed_counts.drain(..) {
            self.count_is_changed[item as usize] = false;
            counts.push((self.ids[item as usize], self.counts[item as usize]));
        }
        let changes = Changes { rows, counts, events: self.journal.take_changes() };
        for item in out {
            if let Some(cached) = self.rows[item as usize].take() {
                self.row_bytes -= cached.row.bytes();
            }
        }
        if is_too_much {
            *self = Self { keep: self.keep, ..Self::default() };
        }
        changes
    }

    /// The rows that have to go for the others to fit.
    fn unused_rows(&self) -> Vec<u32> {
        if self.row_bytes <= ROW_BYTES_MAX {
            return Vec::new();
        }
        let cached = self.rows.iter().zip(0..).filter_map(|(cached, i)| Some((cached.as_ref()?, i)));
        let mut by_age: Vec<(u64, u32, usize)> = cached.map(|(c, i)| (c.used, i, c.row.bytes())).collect();
        by_age.sort_unstable();
        let mut left = self.row_bytes;
        let is_out = |&(_, _, bytes): &(u64, u32, usize)| {
            let is_out = left > ROW_BYTES_MAX / 4 * 3;
            left -= bytes;
            is_out
        };
        by_age.into_iter().take_while(is_out).map(|(_, item, _)| item).collect()
    }
}

/// The last `n` of a history, or all.
pub(crate) fn last(history: &[u32], n: usize) -> &[u32] {
    &history[history.len().saturating_sub(n)..]
}

fn weight(count: u32) -> f64 {
    if count == 0 { 0.0 } else { 1.0 / f64::from(count).sqrt() }
}

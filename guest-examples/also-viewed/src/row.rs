//! What followed an item, and how strongly. Pure data; must know nothing of stores or sessions.
//!
//! ```text
//! row    = form u8 | entry*            ascending item id
//! entry  = id varint, less the id before (the first: less 0) | step u8 | weight f64 little endian, where step is 0 |
//!          form 1 only: rank of entry varint
//! step   : 1 to 20: the weight is exactly 1/step², as it is after one meeting, which most pairs never get past
//! form   : 0 without a cap, 1 with one
//! ```
//!
//! How a new pair enters a row with a cap: it always does. A row may grow to twice `keep`; then the quarter of `keep`
//! with the lowest weights goes, of equal weights those that entered first. So the `keep` heaviest always stay.

use common::{Reader, put_varint};

/// Items that may stand between two for the one to teach about the other, plus one.
pub(crate) const STEPS_MAX: usize = 20;

/// The followers of one item, ascending by item id; the vectors go together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row {
    ids: Vec<u32>,
    weights: Vec<f64>,
    /// with a cap: the order in which they entered
    entered: Vec<u32>,
    /// the next number for `entered`
    next: u32,
}

const PLAIN: u8 = 0;
const CAPPED: u8 = 1;

/// What one meeting at this distance adds.
fn step_weight(step: usize) -> f64 {
    1.0 / (step * step) as f64
}

impl Row {
    /// Bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.ids.capacity() * 4 + self.weights.capacity() * 8 + self.entered.capacity() * 4
    }

    /// `id` came `step` items later. `keep` 0 is no cap.
    pub(crate) fn meet(&mut self, id: u32, step: usize, keep: usize) {
        match self.ids.binary_search(&id) {
            Ok(at) => self.weights[at] += step_weight(step),
            Err(at) => {
                self.ids.insert(at, id);
                self.weights.insert(at, step_weight(step));
                if keep > 0 {
                    self.entered.insert(at, self.next);
                    self.next += 1;
                    self.shrink(keep);
                }
            }
        }
    }

    /// The heaviest `n` as (id, weight), of equal weights the lower id first.
    pub(crate) fn best(&self, n: usize) -> Vec<(u32, f64)> {
        let mut best: Vec<(u32, f64)> = Vec::with_capacity(n + 1);
        // Ids ascend, so of equal weights the one that is there already goes first.
        for (&id, &weight) in self.ids.iter().zip(&self.weights) {
            if best.len() == n && best.last().is_some_and(|&(_, last)| weight <= last) {
                continue;
            }
            let at = best.partition_point(|&(_, other)| other >= weight);
            best.insert(at, (id, weight));
            best.truncate(n);
        }
        best
    }

    /// In a row that is full, lets go of the quarter of `keep` with the lowest weights, of equal ones the oldest.
    /// Numbers `entered` anew, from 0.
    fn shrink(&mut self, keep: usize) {
        if self.ids.len() < 2 * keep {
            return;
        }
        let left = 2 * keep - (keep / 4).max(1);
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        let heavier = |&a: &usize, &b: &usize| {
            let by_weight = self.weights[b].total_cmp(&self.weights[a]);
            by_weight.then(self.entered[b].cmp(&self.entered[a]))
        };
        order.sort_unstable_by(heavier);
        order.truncate(left);
        order.sort_unstable_by_key(|&i| self.entered[i]);
        let mut rank = vec![None; self.ids.len()];
        for (at, &i) in order.iter().enumerate() {
            rank[i] = Some(at as u32);
        }
        let mut ranks = rank.iter();
        self.ids.retain(|_| ranks.next().is_some_and(Option::is_some));
        let mut ranks = rank.iter();
        self.weights.retain(|_| ranks.next().is_some_and(Option::is_some));
        self.entered = rank.into_iter().flatten().collect();
        self.next = left as u32;
    }

    /// Its bytes in state.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let capped = !self.entered.is_empty();
        let mut bytes = Vec::with_capacity(1 + self.ids.len() * 5);
        bytes.push(if capped { CAPPED } else { PLAIN });
        let mut before = 0;
        for (i, (&id, &weight)) in self.ids.iter().zip(&self.weights).enumerate() {
            put_varint(u64::from(id - before), &mut bytes);
            before = id;
            match (1..=STEPS_MAX).find(|&step| step_weight(step) == weight) {
                Some(step) => bytes.push(step as u8),
                None => {
                    bytes.push(0);
                    bytes.extend_from_slice(&weight.to_le_bytes());
                }
            }
            if capped {
                put_varint(u64::from(self.entered[i]), &mut bytes);
            }
        }
        bytes
    }

    /// Reads a row of state. A row of the other form is taken over: without `entered` the order of ids stands in. None:
    /// the bytes are no row.
    pub(crate) fn decode(bytes: &[u8], keep: usize) -> Option<Self> {
        let (&form, rest) = bytes.split_first()?;
        if form > CAPPED {
            return None;
        }
        let mut row = Self::default();
        let mut reader = Reader::new(rest);
        let mut id = 0_u32;
        while !reader.is_empty() {
            id = id.checked_add(reader.varint32()?)?;
            row.ids.push(id);
            row.weights.push(match usize::from(reader.byte()?) {
                0 => reader.f64()?,
                step @ 1..=STEPS_MAX => step_weight(step),
                _ => return None,
            });
            let entered = if form == CAPPED { reader.varint32()? } else { row.next };
            if keep > 0 {
                row.next = row.next.max(entered.checked_add(1)?);
                row.entered.push(entered);
            }
        }
        if keep > 0 {
            // The cap may be new or lower now.
            row.shrink(keep);
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_and_the_heaviest_come_first() {
        let mut row = Row::default();
        for (id, step) in [(9, 2), (4, 1), (7, 2), (9, 2), (8, 3), (7, 20)] {
            row.meet(id, step, 0);
        }
        let nine = 0.25 + 0.25;
        assert_eq!(row.best(3), [(4, 1.0), (9, nine), (7, 0.25 + 1.0 / 400.0)]);
        row.meet(3, 1, 0);
        assert_eq!(row.best(2), [(3, 1.0), (4, 1.0)]);
    }

    #[test]
    fn a_weight_of_one_meeting_takes_one_byte() {
        let mut row = Row::default();
        row.meet(5, 20, 0);
        row.meet(300, 1, 0);
        row.meet(300, 2, 0);
        let mut expected = vec![0, 5, 20, 0xa7, 2, 0];
        expected.extend_from_slice(&1.25_f64.to_le_bytes());
        assert_eq!(row.encode(), expected);
    }

    #[test]
    fn a_row_comes_back_from_state_and_goes_on_alike() {
        for keep in [0, 4] {
            let mut row = Row::default();
            for (id, step) in [(9, 1), (500, 3), (9, 7), (2, 2), (8, 1), (2, 2), (700, 20)] {
                row.meet(id, step, keep);
            }
            let mut read = Row::decode(&row.encode(), keep).expect("a row");
            assert_eq!(read, row);
            for id in 10..20 {
                read.meet(id, 3, keep);
                row.meet(id, 3, keep);
            }
            assert_eq!(read, row);
        }
    }

    #[test]
    fn a_full_row_lets_the_lightest_and_oldest_go() {
        let mut row = Row::default();
        for (id, step) in [(1, 2), (2, 1), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2), (8, 2)] {
            row.meet(id, step, 4);
        }
        assert_eq!(row.ids, [2, 3, 4, 5, 6, 7, 8]);
        row.meet(9, 20, 4);
        assert_eq!(row.ids, [2, 3, 4, 5, 6, 7, 8]);
        let one = Row::decode(&row.encode(), 1).expect("a row");
        assert_eq!(one.best(9), [(2, 1.0)]);
    }

    #[test]
    fn what_is_no_row_is_none() {
        for bytes in [&b""[..], b"\x02", b"\0\x05", b"\0\x05\x15", b"\0\x05\0\0", b"\x01\x05\x01"] {
            assert_eq!(Row::decode(bytes, 0), None, "{bytes:?}");
        }
    }
}

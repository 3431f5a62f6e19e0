//! A neighbour row: how often other items were met by the same users as this one. Pure data; must know nothing of
//! stores or scores.
//!
//! ```text
//! row    = form u8 | form 2 and 3 only: known varint | entry*            ascending item id
//! entry  = id varint, less the id before (the first: less 0) | count varint | with a cap only: rank of entry varint
//! known  = number of the first event that it does not know, see `journal`
//! form   : 2 without a cap, 3 with one; 0 and 1 likewise, as they were written before there was a journal
//! ```
//!
//! How a new pair enters a row with a cap: it always does, with count 1. A row may grow to twice `keep`; then the
//! quarter of `keep` with the lowest counts goes, of equal counts those that entered first. So the `keep` best by count
//! always stay, and a newcomer has the time in which `keep` / 4 others arrive to be met again. Measured on
//! MovieLens-100K with `keep` 200, against no cap: 0.3 % of the hits lost. What lost more: cutting from 400 to 200 at
//! once 1.4 %, replacing the lowest count of 200 each time 4 % and more, ranking by cosine instead of count 15 %.

use common::{Reader, put_varint};

/// A neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// its index in the instance's items
    pub(crate) item: u32,
    /// how often the two were met
    pub(crate) count: u32,
}

/// The neighbours of one item, ascending by item id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    neighbours: Vec<Neighbour>,
    /// with a cap: the order in which they entered, beside `neighbours`
    entered: Vec<u32>,
    /// the next number for `entered`
    next: u32,
}

/// Bits of the form.
const CAPPED: u8 = 1;
const NUMBERED: u8 = 2;

impl Row {
    /// The neighbours, ascending by item id.
    pub(crate) fn neighbours(&self) -> &[Neighbour] {
        &self.neighbours
    }

    /// Bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.neighbours.capacity() * size_of::<Neighbour>() + self.entered.capacity() * size_of::<u32>()
    }

    /// Meets `item` once more. `ids` are the item ids by index; `keep` 0 is no cap.
    pub(crate) fn bump(&mut self, item: u32, ids: &[u32], keep: usize) {
        let id = ids[item as usize];
        let at = match self.neighbours.binary_search_by_key(&id, |n| ids[n.item as usize]) {
            Ok(at) => {
                self.neighbours[at].count += 1;
                return;
            }
            Err(at) => at,
        };
        // Grows by an eighth instead of double: rows without a cap are most of an instance's memory.
        let room = self.neighbours.len() / 8 + 4;
        if self.neighbours.len() == self.neighbours.capacity() {
            self.neighbours.reserve_exact(room);
        }
        self.neighbours.insert(at, Neighbour { item, count: 1 });
        if keep > 0 {
            self.entered.insert(at, self.next);
            self.next += 1;
            if self.neighbours.len() >= 2 * keep {
                self.shrink(2 * keep - (keep / 4).max(1));
            }
        }
    }

    /// Lets go of all but `left`: the highest counts, of equal ones the latest. Numbers `entered` anew, from 0.
    fn shrink(&mut self, left: usize) {
        let mut order: Vec<usize> = (0..self.neighbours.len()).collect();
        order.sort_unstable_by_key(|&i| std::cmp::Reverse((self.neighbours[i].count, self.entered[i])));
        order.truncate(left);
        order.sort_unstable_by_key(|&i| self.entered[i]);
        let mut rank = vec![None; self.neighbours.len()];
        for (at, &i) in order.iter().enumerate() {
            rank[i] = Some(at as u32);
        }
        let mut ranks = rank.iter();
        self.neighbours.retain(|_| ranks.next().is_some_and(Option::is_some));
        self.entered = rank.into_iter().flatten().collect();
        self.next = left as u32;
    }

    /// Its bytes in state, where it knows all events before `known`.
    pub(crate) fn encode(&self, ids: &[u32], known: u64) -> Vec<u8> {
        let capped = !self.entered.is_empty();
        let mut bytes = Vec::with_capacity(8 + self.neighbours.len() * 4);
        bytes.push(NUMBERED | if capped { CAPPED } else { 0 });
        put_varint(known, &mut bytes);
        let mut before = 0;
        for (i, neighbour) in self.neighbours.iter().enumerate() {
            let id = ids[neighbour.item as usize];
            put_varint(u64::from(id - before), &mut bytes);
            before = id;
            put_varint(u64::from(neighbour.count), &mut bytes);
            if capped {
                put_varint(u64::from(self.entered[i]), &mut bytes);
            }
        }
        bytes
    }

    /// Reads a row of state, and up to which event it knows them; `intern` gives an item id its index. A row of the other
    /// form is taken over: without `entered` the order of ids stands in. None: the bytes are no row.
    pub(crate) fn decode(
        bytes: &[u8],
        keep: usize,
        mut intern: impl FnMut(u32) -> u32,
    ) -> Option<(Self, u64)> {
        let (&form, rest) = bytes.split_first()?;
        if form > NUMBERED | CAPPED {
            return None;
        }
        let mut row = Self::default();
        let mut reader = Reader::new(rest);
        let known = if form & NUMBERED == 0 { 0 } else { reader.varint()? };
        let mut id = 0_u32;
        while !reader.is_empty() {
            id = id.checked_add(reader.varint32()?)?;
            let neighbour = Neighbour { item: intern(id), count: reader.varint32()? };
            row.neighbours.push(neighbour);
            let entered = if form & CAPPED != 0 { reader.varint32()? } else { row.next };
            if keep > 0 {
                row.next = row.next.max(entered.checked_add(1)?);
                row.entered.push(entered);
            }
        }
        if keep > 0 && row.neighbours.len() >= 2 * keep {
            row.shrink(2 * keep - (keep / 4).max(1));
        }
        row.neighbours.shrink_to_fit();
        Some((row, known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items whose index is their id.
    fn ids() -> Vec<u32> {
        (0..1000).collect()
    }

    fn pairs(row: &Row) -> Vec<(u32, u32)> {
        row.neighbours().iter().map(|n| (n.item, n.count)).collect()
    }

    #[test]
    fn counts_add_up_in_order_of_id() {
        let mut row = Row::default();
        for item in [7, 300, 7, 2, 7] {
            row.bump(item, &ids(), 0);
        }
        assert_eq!(pairs(&row), [(2, 1), (7, 3), (300, 1)]);
        assert_eq!(row.encode(&ids(), 128), [2, 0x80, 1, 2, 1, 5, 3, 0xa5, 2, 1]);
        let before = Row::decode(&[0, 2, 1, 5, 3, 0xa5, 2, 1], 0, |id| id);
        assert_eq!(before, Some((row, 0)), "as it was written before there was a journal");
    }

    #[test]
    fn a_row_comes_back_from_state_and_goes_on_alike() {
        for keep in [0, 4] {
            let mut row = Row::default();
            for item in [9, 500, 9, 2, 8, 2, 700] {
                row.bump(item, &ids(), keep);
            }
            let (mut read, known) = Row::decode(&row.encode(&ids(), 300), keep, |id| id).expect("a row");
            assert_eq!((&read, known), (&row, 300));
            for item in 10..20 {
                read.bump(item, &ids(), keep);
                row.bump(item, &ids(), keep);
            }
            assert_eq!(read, row);
        }
    }

    #[test]
    fn a_full_row_lets_the_lowest_and_oldest_go() {
        let mut row = Row::default();
        for item in [1, 2, 2, 3, 4, 5, 6, 7, 8] {
            row.bump(item, &ids(), 4);
        }
        assert_eq!(pairs(&row), [(2, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1)]);
        row.bump(9, &ids(), 4);
        assert_eq!(pairs(&row), [(2, 2), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1)]);
    }

    #[test]
    fn a_cap_of_one_and_a_new_cap_are_followed() {
        let mut row = Row::default();
        for item in 0..100 {
            row.bump(item, &ids(), 0);
        }
        row.bump(3, &ids(), 0);
        let (mut capped, _) = Row::decode(&row.encode(&ids(), 0), 1, |id| id).expect("a row");
        assert_eq!(pairs(&capped), [(3, 2)]);
        capped.bump(5, &ids(), 1);
        assert_eq!(pairs(&capped), [(3, 2)]);
        let (free, _) = Row::decode(&capped.encode(&ids(), 0), 0, |id| id).expect("a row");
        assert_eq!(pairs(&free), [(3, 2)]);
    }

    #[test]
    fn what_is_no_row_is_none() {
        for bytes in
            [&b""[..], b"\x02", b"\x04", b"\0\x05", b"\x01\x05\x01", b"\0\xff\xff\xff\xff\x0f\x01\x01\x01"]
        {
            assert_eq!(Row::decode(bytes, 0, |id| id), None, "{bytes:?}");
        }
    }
}

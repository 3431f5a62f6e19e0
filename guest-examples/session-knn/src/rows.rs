//! The rows in state: what a session clicked, and who clicked an item. Varints throughout.
//!
//! ```text
//! session:  time | item*                          the clicks in their order, the last ones
//! item:     (time since the one before | number of the session)*    by time, each session once
//! ```

use common::{Reader, put_varint};

/// A session.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// of its latest click, milliseconds since 1970
    pub(crate) time: u64,
    /// oldest first, with repetitions
    pub(crate) clicks: Vec<u32>,
}

/// When sessions had their latest click by the time they clicked an item: (time, session), oldest first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Visits(pub(crate) Vec<(u64, u32)>);

// === impl Session ===

impl Session {
    pub(crate) fn read(row: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(row);
        let mut session = Self { time: reader.varint()?, clicks: Vec::new() };
        while !reader.is_empty() {
            session.clicks.push(reader.varint32()?);
        }
        Some(session)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(8 + 3 * self.clicks.len());
        put_varint(self.time, &mut row);
        self.clicks.iter().for_each(|item| put_varint(u64::from(*item), &mut row));
        row
    }

    /// One more click; of more than `keep` the oldest are forgotten. Was the item not there before?
    pub(crate) fn click(&mut self, item: u32, time: u64, keep: usize) -> bool {
        let is_new = !self.clicks.contains(&item);
        self.time = self.time.max(time);
        self.clicks.push(item);
        let gone = self.clicks.len().saturating_sub(keep);
        self.clicks.drain(..gone);
        is_new
    }
}

// === impl Visits ===

impl Visits {
    pub(crate) fn read(row: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(row);
        let (mut visits, mut time) = (Vec::new(), 0_u64);
        while !reader.is_empty() {
            time = time.checked_add(reader.varint()?)?;
            visits.push((time, reader.varint32()?));
        }
        Some(Self(visits))
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(8 * self.0.len());
        let mut last = 0;
        for (time, session) in &self.0 {
            put_varint(time - last, &mut row);
            put_varint(u64::from(*session), &mut row);
            last = *time;
        }
        row
    }

    /// The session was here, and its latest click is of this time. At most `m` stay, the latest.
    pub(crate) fn visit(&mut self, session: u32, time: u64, m: usize) {
        // It is most often among the last.
        if let Some(at) = self.0.iter().rposition(|(_, other)| *other == session) {
            self.0.remove(at);
        }
        let at = self.0.partition_point(|visit| *visit <= (time, session));
        self.0.insert(at, (time, session));
        let gone = self.0.len().saturating_sub(m);
        self.0.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written() {
        let mut session = Session::default();
        let news: Vec<_> = [7, 300, 7, 70_000].map(|item| session.click(item, 1_000_000, 3)).into();
        assert_eq!(news, [true, true, false, true]);
        session.click(8, 999_999, 3);
        assert_eq!(session, Session { time: 1_000_000, clicks: vec![7, 70_000, 8] });
        assert_eq!(Session::read(&session.write()), Some(session));
        let visits = Visits(vec![(5, 900), (5, 901), (1 << 40, 3)]);
        assert_eq!(Visits::read(&visits.write()), Some(visits));
        assert_eq!(Visits::read(&[0x80]), None);
    }

    #[test]
    fn the_latest_sessions_of_an_item_stay_each_once() {
        let mut visits = Visits::default();
        for (session, time) in [(1, 10), (2, 30), (3, 20), (1, 25), (4, 40)] {
            visits.visit(session, time, 3);
        }
        assert_eq!(visits.0, [(25, 1), (30, 2), (40, 4)]);
        visits.visit(5, 1, 3);
        assert_eq!(visits.0, [(25, 1), (30, 2), (40, 4)], "older than those that stay");
    }
}

//! The timers of a task: moments by which its code wants to be called again. They are rows of its state, so they change in
//! the commit of the batch, lie in the overlay until then, and go with the state when it is cleared.
//!
//! Each is two rows: one finds it by its name, one by its time. For each clock it is known before which time there is
//! none, so that looking for what is due reads nothing when nothing is, and does not walk over the rows of those that
//! have fired.

use bytes::Bytes;

use super::store::TaskState;
use super::{Error, TaskId, keys};
use crate::model::TimestampMs;
use crate::model::limits::{TIMER_NAME_MAX, TIMERS_DEFAULT};
use crate::storage::{ReadError, Storage};

const FORMAT: u8 = 1;
/// The row of a timer by its time.
static DUE_ROW: &[u8] = &[FORMAT];

/// What a timer goes by. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TimerClock {
    /// the task's watermark
    EventTime = 0,
    /// the server's clock
    Wall = 1,
}

/// A timer that is set, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// what it goes by
    pub clock: TimerClock,
    /// unique for its clock
    pub name: Bytes,
    /// milliseconds since the epoch
    pub at: TimestampMs,
}

/// What is known of all of a task's timers.
#[derive(Debug)]
pub(super) struct Timers {
    count: u64,
    changed: bool,
    max: u64,
    watermark: Option<TimestampMs>,
    /// by clock: no timer is before it
    floors: [TimestampMs; 2],
}

impl TimerClock {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::EventTime, Self::Wall];

    /// As users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventTime => "event-time",
            Self::Wall => "wall",
        }
    }
}

/// How many timers a task has committed. Blocking.
pub fn timers(storage: &Storage, id: TaskId) -> Result<u64, ReadError> {
    Ok(Timers::load(id, |row| storage.state().value(row))?.count)
}

impl Timers {
    /// Reads the row with their number by `value`.
    pub(super) fn load(
        id: TaskId,
        value: impl FnOnce(&[u8]) -> Result<Option<Bytes>, ReadError>,
    ) -> Result<Self, ReadError> {
        let count = match value(&keys::timers(id))? {
            None => 0,
            Some(row) => decode(&row)
                .map(i64::cast_unsigned)
                .ok_or_else(|| ReadError::Damaged(format!("row with the number of timers of {id:?}")))?,
        };
        let floor = if count == 0 { TimestampMs::MAX } else { TimestampMs::MIN };
        Ok(Self { count, changed: false, max: TIMERS_DEFAULT, watermark: None, floors: [floor; 2] })
    }

    /// Hands out the row with their number, if that has changed.
    pub(super) fn drain(&mut self, put: impl FnOnce(Bytes)) {
        if std::mem::take(&mut self.changed) {
            put(encode(self.count.cast_signed()));
        }
    }

    fn floor(&mut self, clock: TimerClock) -> &mut TimestampMs {
        &mut self.floors[clock as usize]
    }
}

impl TaskState {
    /// The same, with at most so many timers.
    #[must_use]
    pub fn with_timers(mut self, max: u64) -> Self {
        self.timers.max = max;
        self
    }

    /// By clock, it is known that no timer is before these; of state that nobody has looked at yet.
    pub fn timers_from(&mut self, floors: [TimestampMs; 2]) {
        if !self.touched {
            self.timers.floors = [0, 1].map(|clock| self.timers.floors[clock].max(floors[clock]));
        }
    }

    /// From now on this is the watermark; it does not go back.
    pub fn move_watermark(&mut self, to: Option<TimestampMs>) {
        self.timers.watermark = self.timers.watermark.max(to);
    }

    /// What time it is by a clock; none before there is a watermark.
    pub fn present(&self, clock: TimerClock) -> Option<TimestampMs> {
        match clock {
            TimerClock::EventTime => self.timers.watermark,
            TimerClock::Wall => Some(self.times.now()),
        }
    }

    /// How many timers are set.
    pub fn timers(&self) -> u64 {
        self.timers.count
    }

    /// No timer of this clock is before it.
    pub fn next_timer(&self, clock: TimerClock) -> TimestampMs {
        self.timers.floors[clock as usize]
    }

    /// Sets a timer, or moves it.
    ///
    /// # Errors
    /// `TimerName`, `Timers`, `BatchBytes`, `Pinned`, `Read`; nothing is changed then.
    pub fn set_timer(&mut self, clock: TimerClock, name: &[u8], at: TimestampMs) -> Result<(), Error> {
        let by_name = by_name(clock, name)?;
        self.check_room(2 * (by_name.len() + 18))?;
        let before = self.timer(&by_name)?;
        if before == Some(at) {
            return Ok(());
        }
        match before {
            Some(before) => self.overlay.write(keys::DUE, &by_time(clock, before, name), None),
            None => {
                let timers = self.timers.count + 1;
                if timers > self.timers.max {
                    return Err(Error::Timers { timers, limit: self.timers.max });
                }
                self.timers.count = timers;
                self.timers.changed = true;
            }
        }
        self.overlay.write(keys::TIMERS, &by_name, Some(encode(at)));
        self.overlay.write(keys::DUE, &by_time(clock, at, name), Some(Bytes::from_static(DUE_ROW)));
        let floor = self.timers.floor(clock);
        *floor = at.min(*floor);
        Ok(())
    }

    /// Cancels a timer; one that is not set is no error.
    ///
    /// # Errors
    /// `TimerName`, `BatchBytes`, `Pinned`, `Read`.
    pub fn cancel_timer(&mut self, clock: TimerClock, name: &[u8]) -> Result<(), Error> {
        let by_name = by_name(clock, name)?;
        // It takes no room, but may be no one's to change.
        self.check_room(0)?;
        if let Some(at) = self.timer(&by_name)? {
            self.forget(clock, at, name, &by_name);
        }
        Ok(())
    }

    /// Takes out the first `limit` timers whose time has come, in the order of their times and then of their names. They
    /// are gone with the next commit.
    ///
    /// # Errors
    /// `Read`.
    pub fn take_due(&mut self, clock: TimerClock, limit: usize) -> Result<Vec<Timer>, Error> {
        let floor = self.next_timer(clock);
        let Some(now) = self.present(clock).filter(|now| floor <= *now && self.timers.count > 0) else {
            return Ok(Vec::new());
        };
        let rows = self.rows(keys::DUE, &by_time(clock, floor, b""), Some(&[clock as u8 + 1]), limit + 1)?;
        let mut due = Vec::with_capacity(rows.len().min(limit));
        let mut next = TimestampMs::MAX;
        for (row, _) in rows {
            let (at, name) = parse_by_time(&row).ok_or_else(|| damaged(self.id))?;
            if at > now || due.len() == limit {
                next = at;
                break;
            }
            due.push(Timer { clock, name: row.slice_ref(name), at });
        }
        for timer in &due {
            let by_name = by_name(clock, &timer.name)?;
            self.forget(clock, timer.at, &timer.name, &by_name);
        }
        *self.timers.floor(clock) = next;
        Ok(due)
    }

    fn forget(&mut self, clock: TimerClock, at: TimestampMs, name: &[u8], by_name: &[u8]) {
        self.overlay.write(keys::TIMERS, by_name, None);
        self.overlay.write(keys::DUE, &by_time(clock, at, name), None);
        self.timers.count = self.timers.count.saturating_sub(1);
        self.timers.changed = true;
        if self.timers.count == 0 {
            // Nobody looks any more where the next one is.
            self.timers.floors = [TimestampMs::MAX; 2];
        }
    }

    /// When a timer is set for.
    fn timer(&mut self, by_name: &[u8]) -> Result<Option<TimestampMs>, Error> {
        self.touched = true;
        if self.timers.count == 0 {
            return Ok(None);
        }
        let row = match self.overlay.entry(keys::TIMERS, by_name) {
            Some(entry) => entry.value.clone(),
            None => {
                let row = self.base.value(&keys::entry(self.id, keys::TIMERS, by_name))?;
                self.overlay.note(keys::TIMERS, by_name, row.clone());
                row
            }
        };
        let at = row.map(|row| decode(&row).ok_or_else(|| damaged(self.id)));
        Ok(at.transpose()?)
    }
}

fn by_name(clock: TimerClock, name: &[u8]) -> Result<Vec<u8>, Error> {
    if name.len() > TIMER_NAME_MAX {
        return Err(Error::TimerName { found: name.len() });
    }
    Ok([&[clock as u8][..], name].concat())
}

/// Sorts by time, also before 1970.
fn by_time(clock: TimerClock, at: TimestampMs, name: &[u8]) -> Vec<u8> {
    let at = at.cast_unsigned() ^ (1 << 63);
    [&[clock as u8][..], &at.to_be_bytes(), name].concat()
}

fn parse_by_time(row: &[u8]) -> Option<(TimestampMs, &[u8])> {
    let (_, rest) = row.split_first()?;
    let (at, name) = rest.split_first_chunk::<8>()?;
    Some(((u64::from_be_bytes(*at) ^ (1 << 63)).cast_signed(), name))
}

fn encode(number: i64) -> Bytes {
    let mut row = [FORMAT; 9];
    row[1..].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&row)
}

fn decode(row: &[u8]) -> Option<i64> {
    row.strip_prefix(&[FORMAT])?.try_into().ok().map(i64::from_be_bytes)
}

fn damaged(id: TaskId) -> ReadError {
    ReadError::Damaged(format!("row with a timer of {id:?}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TimerClock::{EventTime, Wall};
    use super::*;
    use crate::state::Allowed;
    use crate::storage::Commit;
    use crate::storage::tests::World;

    const TASK: TaskId = TaskId { deployment: 1, generation: 0, task: 0 };

    fn open(world: &World) -> TaskState {
        TaskState::open(&world.storage, TASK, Allowed { bytes: 1 << 20, keys: 1 << 20 }).unwrap()
    }

    async fn commit(world: &World, state: &mut TaskState) {
        let mut commit = Commit::new();
        state.write_into(&mut commit);
        world.storage.commit(commit).await.unwrap();
    }

    fn due(state: &mut TaskState, clock: TimerClock, now: i64) -> Vec<(String, i64)> {
        match clock {
            EventTime => state.move_watermark(Some(now)),
            Wall => state.begin(now),
        }
        let timers = state.take_due(clock, 256).unwrap();
        timers.into_iter().map(|t| (String::from_utf8(t.name.to_vec()).unwrap(), t.at)).collect()
    }

    fn named(timers: &[(&str, i64)]) -> Vec<(String, i64)> {
        timers.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect()
    }

    #[tokio::test]
    async fn they_are_due_by_time_and_then_by_name_whether_committed_or_not() {
        let world = World::new();
        let mut state = open(&world);
        for (name, at) in [("c", 20), ("b", -5), ("a", 20), ("later", 30)] {
            state.set_timer(EventTime, name.as_bytes(), at).unwrap();
        }
        commit(&world, &mut state).await;
        let mut state = open(&world);
        state.set_timer(EventTime, b"bb", 20).unwrap();
        state.set_timer(Wall, b"wall", 1).unwrap();
        assert_eq!(due(&mut state, EventTime, 10), named(&[("b", -5)]));
        assert_eq!(state.next_timer(EventTime), 20);
        let expected = named(&[("a", 20), ("bb", 20), ("c", 20)]);
        assert_eq!(due(&mut state, EventTime, 25), expected, "those of the other clock stay");
        assert_eq!((state.next_timer(EventTime), state.timers()), (30, 2));
        assert_eq!(due(&mut state, Wall, 1), named(&[("wall", 1)]));
    }

    #[tokio::test]
    async fn what_has_fired_moved_or_was_cancelled_is_gone_only_with_the_commit() {
        let world = World::new();
        let mut state = open(&world);
        for name in ["fires", "moves", "goes"] {
            state.set_timer(Wall, name.as_bytes(), 10).unwrap();
        }
        commit(&world, &mut state).await;
        for committed in [false, true] {
            let mut state = open(&world);
            assert_eq!((state.timers(), state.next_timer(Wall)), (3, i64::MIN));
            state.set_timer(Wall, b"moves", 50).unwrap();
            state.cancel_timer(Wall, b"goes").unwrap();
            state.cancel_timer(Wall, b"never set").unwrap();
            assert_eq!(due(&mut state, Wall, 10), named(&[("fires", 10)]));
            if committed {
                commit(&world, &mut state).await;
            }
        }
        let mut state = open(&world);
        assert_eq!(state.timers(), 1);
        assert_eq!(due(&mut state, Wall, 100), named(&[("moves", 50)]));
        assert_eq!((state.timers(), state.next_timer(Wall)), (0, i64::MAX));
    }

    #[tokio::test]
    async fn those_ahead_of_a_commit_under_way_are_seen_once() {
        let world = World::new();
        let mut state = open(&world);
        state.set_timer(EventTime, b"a", 1).unwrap();
        state.set_timer(EventTime, b"b", 2).unwrap();
        let mut first = Commit::new();
        state.write_ahead(&mut first);
        assert_eq!(due(&mut state, EventTime, 1), named(&[("a", 1)]));
        let mut second = Commit::new();
        state.write_ahead(&mut second);
        world.storage.commit(first).await.unwrap();
        state.committed();
        assert_eq!(due(&mut state, EventTime, 5), named(&[("b", 2)]), "the storage still has `a`");
        world.storage.commit(second).await.unwrap();
        state.committed();
        assert_eq!(due(&mut state, EventTime, 9), []);
        assert_eq!(open(&world).timers(), 1, "of the last call nothing was committed");
    }

    #[tokio::test]
    async fn a_call_gets_so_many_and_the_next_one_goes_on() {
        let world = World::new();
        let mut state = open(&world);
        for n in 0..10_u8 {
            state.set_timer(EventTime, &[b'a' + n], i64::from(n / 2)).unwrap();
        }
        state.move_watermark(Some(3));
        let mut taken = Vec::new();
        loop {
            let due = state.take_due(EventTime, 3).unwrap();
            let Some(last) = due.last() else { break };
            assert!(due.len() <= 3 && last.at <= 3);
            taken.extend(due.iter().map(|t| t.name[0]));
        }
        assert_eq!(taken, *b"abcdefgh");
        state.set_timer(EventTime, b"past", 0).unwrap();
        assert_eq!(due(&mut state, EventTime, 3), named(&[("past", 0)]), "due at once");
    }

    #[tokio::test]
    async fn of_timers_that_were_all_cancelled_none_is_next() {
        let world = World::new();
        let mut state = open(&world);
        for clock in TimerClock::ALL {
            state.set_timer(clock, b"only", 5).unwrap();
            state.cancel_timer(clock, b"only").unwrap();
            assert_eq!(state.next_timer(clock), i64::MAX);
            assert_eq!(due(&mut state, clock, 10), []);
        }
        state.set_timer(Wall, b"other", 7).unwrap();
        state.set_timer(EventTime, b"cancelled", 8).unwrap();
        state.cancel_timer(EventTime, b"cancelled").unwrap();
        assert_eq!(due(&mut state, EventTime, 10), []);
        assert_eq!(state.next_timer(EventTime), i64::MAX, "what was looked for is known not to be there");
        assert_eq!(due(&mut state, Wall, 10), named(&[("other", 7)]));
    }

    #[tokio::test]
    async fn number_and_names_are_bounded() {
        let world = World::new();
        let mut state = open(&world).with_timers(1);
        state.set_timer(Wall, &[0; TIMER_NAME_MAX], 1).unwrap();
        state.set_timer(Wall, &[0; TIMER_NAME_MAX], 2).unwrap();
        assert_eq!(state.set_timer(EventTime, b"x", 1), Err(Error::Timers { timers: 2, limit: 1 }));
        let found = TIMER_NAME_MAX + 1;
        assert_eq!(state.set_timer(Wall, &vec![0; found], 1), Err(Error::TimerName { found }));
    }

    #[test]
    fn the_rows_are_what_they_were_when_they_were_first_written() {
        // On disk: other bytes need a format of their own.
        assert_eq!(encode(-2)[..], [1, 255, 255, 255, 255, 255, 255, 255, 254]);
        let row = by_time(Wall, 256, b"n");
        assert_eq!(row, [1, 128, 0, 0, 0, 0, 0, 1, 0, b'n']);
        assert_eq!(by_name(EventTime, b"n").unwrap(), [0, b'n']);
        assert_eq!(keys::entry(TASK, keys::DUE, &row)[..13], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 25]);
        assert_eq!(keys::entry(TASK, keys::TIMERS, b"")[12], 24);
    }

    proptest! {
        #[test]
        fn times_sort_as_numbers_and_read_back(a: i64, b: i64, name: Vec<u8>) {
            let (one, two) = (by_time(EventTime, a, &name), by_time(EventTime, b, &name));
            prop_assert_eq!(one.cmp(&two), a.cmp(&b));
            prop_assert_eq!(parse_by_time(&one), Some((a, &name[..])));
            prop_assert_eq!(decode(&encode(a)), Some(a));
        }
    }
}

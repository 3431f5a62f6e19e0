//! Tumbling and hopping windows of keyed aggregates.
//!
//! The unit of state is a *pane*: the time between two window ends. A record changes one row, that of its pane and key,
//! however many windows overlap there; a window's result is merged from its panes when it ends.
//!
//! ```text
//! panes    |--0--|--1--|--2--|--3--|--4--|        a pane is as long as the hop
//! windows  [--------0--------)                    a window is a whole number of panes
//!                [--------1--------)
//! row      (end of the pane, key) → aggregate     so a window's keys are a range per pane
//! timer    one per window and task, at its end
//! ```

mod cursor;

use std::ops::ControlFlow;
use std::time::Duration;

use crate::model::Fault;
use crate::state::Store;
use crate::timers::{self, Clock, Timer};

use super::codec::{self, Key, Stored, encode};
use super::hash::Map;
use super::table::Table;
use cursor::{Cursor, after};

/// Rows of a pane deleted in one commit; the rest go in the next one.
const DELETED_MAX: usize = 20_000;
/// Bytes of a key in a timer's name, which has at most 1024. A longer one lies in a row of the store while it is needed.
const NAME_KEY_MAX: usize = 512;
/// Window ends whose timers an instance remembers to have set. Setting one twice is harmless, it costs a call.
const REMEMBERED_MAX: usize = 10_000;

/// An aggregate that two parts of a window can be put together from.
pub trait Merge {
    /// Adds what the other one has seen.
    fn merge(&mut self, other: Self);
}

/// Counts and sums.
impl Merge for u64 {
    fn merge(&mut self, other: Self) {
        *self += other;
    }
}

/// A stretch of time, `start..end` in milliseconds since 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// the first moment of it
    pub start: i64,
    /// the first moment after it
    pub end: i64,
}

/// Windows over aggregates `A` by key.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::time::Duration;
/// use millstream_sdk::timers::Timer;
/// use millstream_sdk::toolbox::Windows;
/// use millstream_sdk::{Fault, Output, Processor, Record, Timed, processor, testing};
///
/// /// Clicks of a page per ten seconds.
/// struct Clicks(Windows<Box<[u8]>, u64>);
/// processor!(Clicks, timed);
///
/// impl Processor for Clicks {
///     fn open() -> Result<Self, String> {
///         Ok(Self(Windows::tumbling("clicks", Duration::from_secs(10))?))
///     }
///
///     fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
///         let page = |record: &Record<'_>| (record.timestamp(), record.key().unwrap_or_default().into());
///         self.0.load(batch.iter().map(page))?;
///         for (time, page) in batch.iter().map(page) {
///             *self.0.at(time, &page) += 1;
///         }
///         self.0.flush();
///         Ok(Vec::new())
///     }
/// }
///
/// impl Timed for Clicks {
///     fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
///         let mut results = Vec::new();
///         for timer in due {
///             self.0.fire(timer, |window, page, clicks| {
///                 results.push(Output::new().key(&**page).value(clicks.to_string()).timestamp(window.end - 1));
///                 ControlFlow::Continue(())
///             })?;
///         }
///         Ok(results)
///     }
/// }
///
/// let mut clicks = Clicks::open().unwrap();
/// testing::process(&mut clicks, &[testing::keyed("/", "1"), testing::keyed("/", "2")]).unwrap();
/// let results = testing::move_watermark(&mut clicks, 10_000).unwrap();
/// assert_eq!(results, [Output::new().key("/").value("2").timestamp(9_999)]);
/// ```
#[derive(Debug)]
pub struct Windows<K, A> {
    panes: Table<(i64, K), A>,
    clock: Clock,
    size: i64,
    hop: i64,
    keep: i64,
    delay: i64,
    remembered: Map<i64, ()>,
    /// the window whose visitor broke off in this call or the one before
    broken_off: Option<i64>,
}

/// What a timer of windows is for; the first byte of its name after the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// a window's result is due
    Result = 1,
    /// a pane is not needed any more
    Delete = 2,
    /// the same as for a result, from the key on that is in [`row_of_key`]
    Rest = 3,
}

/// What can still change.
#[derive(Debug, Clone, Copy)]
struct Past {
    now: Option<i64>,
    delay: i64,
    keep: i64,
}

impl Past {
    /// A window's results were told, and cannot be told again with what belonged to them.
    fn is_final(self, end: i64) -> bool {
        let Some(now) = self.now else { return false };
        let is_kept = self.keep > 0 && now <= end.saturating_add(self.keep);
        end.saturating_add(self.delay) <= now && !is_kept
    }
}

// === impl Windows ===

impl<K: Key, A: Stored + Default + Merge> Windows<K, A> {
    /// Windows that follow one another, beginning at multiples of their size.
    ///
    /// # Errors
    /// A size below a millisecond.
    pub fn tumbling(store: &str, size: Duration) -> Result<Self, String> {
        Self::hopping(store, size, size)
    }

    /// Windows of this size that begin at every multiple of `hop`.
    ///
    /// # Errors
    /// A hop below a millisecond, or a size that is not a multiple of it.
    pub fn hopping(store: &str, size: Duration, hop: Duration) -> Result<Self, String> {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let (size, hop) = (millis(size), millis(hop));
        if hop < 1 || size < hop || size % hop != 0 {
            return Err(format!(
                "windows `{store}`: a size of {size} ms is no multiple of a hop of {hop} ms"
            ));
        }
        Ok(Self {
            panes: Table::open(store),
            clock: Clock::EventTime,
            size,
            hop,
            keep: 0,
            delay: 0,
            remembered: Map::default(),
            broken_off: None,
        })
    }

    /// Windows of the time at which records are processed; [`at`](Self::at) is then given the time of this clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps a window's aggregates for this long after its end, for deployments with `late: update`: a late record fires
    /// its window once more, and all of its results are visited again. Later than that, and without this after its first
    /// results, nothing changes a window: see [`is_over`](Self::is_over).
    #[must_use]
    pub fn keep(mut self, lateness: Duration) -> Self {
        self.keep = i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// Fires so much later than at the end of a window, for results that also look at what comes right after it.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// Sets the memory of the cache, see [`Table::cache`].
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.panes = self.panes.cache(bytes);
        self
    }

    /// The end of the pane of a time. In tumbling windows this is the end of the window.
    pub fn pane(&self, time: i64) -> i64 {
        time.div_euclid(self.hop).saturating_add(1).saturating_mul(self.hop)
    }

    /// Brings in the aggregates of a batch, given as time and key of each record.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn load(&mut self, batch: impl IntoIterator<Item = (i64, K)>) -> Result<(), Fault> {
        let hop = self.hop;
        let pane = |time: i64| time.div_euclid(hop).saturating_add(1).saturating_mul(hop);
        self.panes.load(batch.into_iter().map(|(time, key)| (pane(time), key)))
    }

    /// The aggregate of the pane at `time`, to be changed.
    ///
    /// # Panics
    /// When this time and key were not loaded in this batch.
    pub fn at(&mut self, time: i64, key: &K) -> &mut A {
        let pane = self.pane(time);
        self.panes.row(&(pane, key.clone())).get_or_insert_default()
    }

    /// Whether every window of a time is over, its results told and not kept: what a record of this time changes is dropped
    /// by the next flush. Such records can be counted with this, or put aside. Always false by the server's clock.
    pub fn is_over(&self, time: i64) -> bool {
        self.is_pane_over(self.pane(time))
    }

    /// Its last window is over, and with it those before. One that was broken off still has some of it to tell, and those
    /// after it wait.
    fn is_pane_over(&self, pane: i64) -> bool {
        let last = pane.saturating_add(self.size - self.hop);
        self.past().is_final(last) && self.broken_off.is_none_or(|first| last < first)
    }

    fn past(&self) -> Past {
        // The server's clock goes on before the timers have fired.
        let now = if self.clock == Clock::EventTime { timers::watermark() } else { None };
        Past { now, delay: self.delay, keep: self.keep }
    }

    /// Early results: the panes changed since the last flush with their end, key and aggregate so far. In tumbling
    /// windows a pane is a window.
    pub fn early(&self) -> impl Iterator<Item = (Window, &K, &A)> {
        let window = |end: i64| Window { start: end - self.hop, end };
        let live = self.panes.changed().filter(|((end, _), _)| !self.is_pane_over(*end));
        live.filter_map(move |((end, key), row)| Some((window(*end), key, row?)))
    }

    /// Writes the aggregates of the batch and sets the timers of its windows. Those of windows that are over are dropped.
    pub fn flush(&mut self) {
        self.drop_what_is_over();
        let (clock, name, delay, past) = (self.clock, self.panes.name(), self.delay, self.past());
        let now = match clock {
            Clock::EventTime => timers::watermark(),
            Clock::Wall => Some(timers::now()),
        };
        let mut last = None;
        for ((pane, _), _) in self.panes.changed() {
            // Changed rows of a batch are mostly of the same pane.
            if last.replace(*pane) == Some(*pane) {
                continue;
            }
            for end in (0..self.size / self.hop).map(|n| pane.saturating_add(n * self.hop)) {
                if past.is_final(end) {
                    continue;
                }
                // A late record fires its windows again, whose timers are gone.
                let is_late = now.is_some_and(|now| end <= now);
                if self.remembered.insert(end, ()).is_none() || is_late {
                    timers::set(clock, timer(name, Purpose::Result, end, &[]), end.saturating_add(delay));
                }
            }
        }
        if self.remembered.len() > REMEMBERED_MAX {
            self.remembered.clear();
        }
        self.panes.flush();
    }

    fn drop_what_is_over(&mut self) {
        let keys = self.panes.changed().map(|(key, _)| key);
        let over: Vec<_> = keys.filter(|(pane, _)| self.is_pane_over(*pane)).cloned().collect();
        for key in over {
            self.panes.set(key, None);
        }
    }

    /// Whether a timer is of these windows.
    pub fn owns(&self, timer: &Timer) -> bool {
        timer.clock == self.clock && parse(self.panes.name(), &timer.name).is_some()
    }

    /// Visits the final aggregates of the window that a timer is for, in the order of their encoded keys, and deletes what
    /// is not needed any more. A visitor that breaks off is called again for the next key in a later call of `on_timer`, with
    /// a commit between: so results of any number fit into outputs of bounded size. A timer of something else is ignored.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn fire(
        &mut self,
        due: &Timer,
        visit: impl FnMut(Window, &K, A) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        if due.clock != self.clock {
            return Ok(());
        }
        let Some((purpose, end, after)) = parse(self.panes.name(), &due.name) else { return Ok(()) };
        match purpose {
            Purpose::Result => self.result(end, after, due.at, visit),
            Purpose::Rest => {
                let (store, row) = (Store::open(self.panes.name()), row_of_key(end));
                let after = store.get(&row).unwrap_or_default();
                store.delete(&row);
                self.result(end, &after, due.at, visit)
            }
            Purpose::Delete => {
                self.delete(end);
                Ok(())
            }
        }
    }

    fn result(
        &mut self,
        end: i64,
        after: &[u8],
        at: i64,
        mut visit: impl FnMut(Window, &K, A) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let window = Window { start: end.saturating_sub(self.size), end };
        // A window that was broken off still needs its panes: the ones after it wait.
        if self.broken_off.is_some_and(|first| first < end) {
            self.come_back(end, after, at);
            return Ok(());
        }
        self.broken_off = None;
        if let Some(resume) = self.visit(window, after, &mut visit)? {
            self.come_back(end, &resume, at);
            self.broken_off = Some(end);
            return Ok(());
        }
        self.remembered.remove(&end);
        let oldest = window.start.saturating_add(self.hop);
        if self.keep == 0 {
            self.delete(oldest);
        } else {
            let at = end.saturating_add(self.keep).saturating_add(1);
            timers::set(self.clock, timer(self.panes.name(), Purpose::Delete, oldest, &[]), at);
        }
        Ok(())
    }

    /// Sets the timer for the results of a window that come after a key.
    fn come_back(&self, end: i64, after: &[u8], at: i64) {
        let store = self.panes.name();
        let name = if after.len() <= NAME_KEY_MAX {
            timer(store, Purpose::Result, end, after)
        } else {
            Store::open(store).put(row_of_key(end), after);
            timer(store, Purpose::Rest, end, &[])
        };
        timers::set(self.clock, name, at);
    }

    /// Merges the panes of a window key by key, a page of each at a time. Returns the last key when the visitor broke off.
    fn visit(
        &self,
        window: Window,
        after: &[u8],
        visit: &mut impl FnMut(Window, &K, A) -> ControlFlow<()>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let panes = (1..=self.size / self.hop).map(|n| window.start.saturating_add(n * self.hop));
        let mut cursors: Vec<Cursor> = panes.map(|pane| Cursor::new(pane, after)).collect();
        loop {
            for cursor in &mut cursors {
                cursor.fill(&self.panes);
            }
            let heads = cursors.iter().filter_map(Cursor::key);
            let Some(least) = heads.min().map(<[u8]>::to_vec) else { return Ok(None) };
            let mut merged: Option<A> = None;
            for cursor in cursors.iter_mut().filter(|cursor| cursor.key() == Some(&least)) {
                let part = codec::read(cursor.take(), self.panes.name())?;
                match &mut merged {
                    None => merged = Some(part),
                    Some(whole) => whole.merge(part),
                }
            }
            let key: K = codec::read(&least, self.panes.name())?;
            if let Some(merged) = merged
                && visit(window, &key, merged).is_break()
            {
                return Ok(Some(least));
            }
        }
    }

    /// Deletes a pane, or a first part of it and sets a timer for the rest.
    fn delete(&mut self, pane: i64) {
        let (start, end) = (encode(&pane), encode(&pane.saturating_add(1)));
        let mut from = start;
        let mut keys = Vec::new();
        let is_all = loop {
            let (page, is_last) = self.panes.page(&from, Some(&end));
            keys.extend(page.into_iter().map(|(key, _)| key));
            if is_last || keys.len() >= DELETED_MAX {
                break is_last;
            }
            from = keys.last().map(|last| after(last)).unwrap_or_default();
        };
        for key in keys {
            if let Some(key) = codec::decode(&key) {
                self.panes.set(key, None);
            }
        }
        self.panes.flush();
        if !is_all {
            timers::set(self.clock, timer(self.panes.name(), Purpose::Delete, pane, &[]), pane);
        }
    }
}

/// The row for a key that is too long for a timer's name, behind the rows of all panes.
fn row_of_key(end: i64) -> Vec<u8> {
    let mut row = vec![u8::MAX; 8];
    end.put(&mut row);
    row
}

/// The name of a timer: store, purpose, end, and the key after which to go on.
fn timer(store: &str, purpose: Purpose, end: i64, after: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(store.len() + 10 + after.len());
    name.push(store.len() as u8);
    name.extend_from_slice(store.as_bytes());
    name.push(purpose as u8);
    end.put(&mut name);
    name.extend_from_slice(after);
    name
}

fn parse<'a>(store: &str, name: &'a [u8]) -> Option<(Purpose, i64, &'a [u8])> {
    let (length, rest) = name.split_first()?;
    let (owner, rest) = rest.split_at_checked(usize::from(*length))?;
    let (purpose, mut rest) = rest.split_first()?;
    let purpose = match purpose {
        1 => Purpose::Result,
        2 => Purpose::Delete,
        3 => Purpose::Rest,
        _ => return None,
    };
    let end = i64::take(&mut rest)?;
    (owner == store.as_bytes()).then_some((purpose, end, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::{Output, Timed};

    /// Windows whose visitor breaks off after each result.
    struct OneByOne {
        windows: Windows<u64, u64>,
        calls: usize,
        breaks: bool,
        /// what is read after the next call
        between: Vec<(i64, u64)>,
    }

    impl OneByOne {
        fn over(windows: Windows<u64, u64>) -> Self {
            Self { windows, calls: 0, breaks: false, between: Vec::new() }
        }

        fn count(&mut self, batch: &[(i64, u64)]) {
            self.windows.load(batch.iter().copied()).unwrap();
            for (time, key) in batch {
                *self.windows.at(*time, key) += 1;
            }
            self.windows.flush();
        }

        /// End, key and count of what has become final.
        fn results(&mut self, watermark: i64) -> Vec<(i64, String)> {
            let outputs = testing::move_watermark(self, watermark).unwrap();
            let shown = |output: Output| match output.value {
                crate::Content::Bytes(bytes) => {
                    (output.timestamp.unwrap(), String::from_utf8(bytes).unwrap())
                }
                other => panic!("{other:?}"),
            };
            outputs.into_iter().map(shown).collect()
        }
    }

    impl Timed for OneByOne {
        fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
            self.calls += 1;
            let mut outputs = Vec::new();
            for timer in due {
                self.windows.fire(timer, |window, key, count| {
                    outputs.push(Output::new().value(format!("{key}:{count}")).timestamp(window.end));
                    if self.breaks { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })?;
            }
            let between = std::mem::take(&mut self.between);
            self.count(&between);
            Ok(outputs)
        }
    }

    fn hopping() -> Windows<u64, u64> {
        let (size, hop) = (Duration::from_millis(30), Duration::from_millis(10));
        Windows::hopping("w", size, hop).unwrap()
    }

    fn rows(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
        rows.iter().map(|(end, row)| (*end, (*row).to_owned())).collect()
    }

    const BATCH: [(i64, u64); 4] = [(5, 1), (15, 1), (15, 2), (20, 1)];
    const RESULTS: [(i64, &str); 8] = [
        (10, "1:1"),
        (20, "1:2"),
        (20, "2:1"),
        (30, "1:3"),
        (30, "2:1"),
        (40, "1:2"),
        (40, "2:1"),
        (50, "1:1"),
    ];

    #[test]
    fn hopping_windows_merge_their_panes_and_leave_nothing() {
        let mut code = OneByOne::over(hopping());
        code.count(&BATCH);
        assert_eq!(testing::store("w").len(), 4, "a row per pane and key, however many windows overlap");
        assert_eq!(code.results(29), rows(&RESULTS[..3]));
        assert_eq!(code.results(1_000), rows(&RESULTS[3..]));
        assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
    }

    #[test]
    fn a_visitor_that_breaks_off_goes_on_in_later_calls_and_misses_nothing() {
        let mut code = OneByOne::over(hopping());
        code.breaks = true;
        code.count(&BATCH);
        assert_eq!(code.results(1_000), rows(&RESULTS));
        assert!(code.calls >= RESULTS.len(), "{} calls", code.calls);
        assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
    }

    #[test]
    fn keys_too_long_for_a_timers_name_are_gone_on_after_as_well() {
        struct Long(Windows<Box<[u8]>, u64>);
        impl Timed for Long {
            fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
                let mut outputs = Vec::new();
                for timer in due {
                    self.0.fire(timer, |window, key, count| {
                        let told = format!("{}:{count}", key[0]);
                        outputs.push(Output::new().value(told).timestamp(window.end));
                        ControlFlow::Break(())
                    })?;
                }
                Ok(outputs)
            }
        }
        let mut code = Long(Windows::tumbling("w", Duration::from_millis(10)).unwrap());
        let keys = [1, 2, 3].map(|n| vec![n; 4_000].into_boxed_slice());
        let batch = || keys.iter().flat_map(|key| [(5, key.clone()), (15, key.clone())]);
        code.0.load(batch()).unwrap();
        for (time, key) in batch() {
            *code.0.at(time, &key) += 1;
        }
        code.0.flush();
        let told: Vec<_> = testing::move_watermark(&mut code, 1_000).unwrap();
        let expected =
            [10, 20].map(|end| ["1:1", "2:1", "3:1"].map(|row| Output::new().value(row).timestamp(end)));
        assert_eq!(told, expected.concat());
        assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
    }

    #[test]
    fn a_late_record_fires_its_window_again_while_that_is_kept() {
        let windows = Windows::tumbling("w", Duration::from_millis(10)).unwrap();
        let mut code = OneByOne::over(windows.keep(Duration::from_millis(100)));
        code.count(&[(5, 1), (6, 2)]);
        assert_eq!(code.results(50), rows(&[(10, "1:1"), (10, "2:1")]));
        code.count(&[(7, 1)]);
        assert_eq!(code.results(50), rows(&[(10, "1:2"), (10, "2:1")]));
        assert_eq!(code.results(111), []);
        assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
    }

    #[test]
    fn a_record_later_than_its_windows_changes_nothing_that_was_told() {
        let mut code = OneByOne::over(hopping());
        code.count(&BATCH);
        assert_eq!(code.results(30), rows(&RESULTS[..5]));
        // The windows that end at 10 to 30 are told. The first record belongs to one of them, the second to the last one too.
        code.count(&[(5, 3), (15, 3)]);
        assert_eq!((code.windows.is_over(5), code.windows.is_over(15)), (true, false));
        assert_eq!(code.results(30), [], "none is told again");
        assert_eq!(code.results(1_000), rows(&[(40, "1:2"), (40, "2:1"), (40, "3:1"), (50, "1:1")]));
        code.count(&[(5, 1), (45, 1)]);
        assert_eq!(code.results(2_000), []);
        assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
    }

    #[test]
    fn a_record_later_than_what_is_kept_is_dropped() {
        let windows = Windows::tumbling("w", Duration::from_millis(10)).unwrap();
        let mut code = OneByOne::over(windows.keep(Duration::from_millis(100)));
        code.count(&[(5, 1)]);
        assert_eq!(code.results(111), rows(&[(10, "1:1")]));
        code.count(&[(7, 1)]);
        assert_eq!(code.windows.early().count(), 0);
        assert_eq!(code.results(111), [], "its window was told with one that is not kept any more");
        assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
    }

    #[test]
    fn a_late_record_of_a_window_that_was_broken_off_leaves_what_is_not_told_yet() {
        let mut code = OneByOne::over(hopping());
        (code.breaks, code.between) = (true, vec![(6, 1), (6, 2)]);
        code.count(&[(5, 1), (5, 2), (5, 3)]);
        // They come when the first window has told of the first key.
        let all = code.results(1_000);
        assert_eq!(all[..3], rows(&[(10, "1:1"), (10, "2:2"), (10, "3:1")]));
        assert!(all[3..].iter().all(|(end, _)| *end > 10), "told once: {all:?}");
        assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
    }

    #[test]
    fn early_results_are_the_changed_panes() {
        let mut windows: Windows<u64, u64> = Windows::tumbling("w", Duration::from_millis(10)).unwrap();
        windows.load([(5, 1), (15, 1)]).unwrap();
        *windows.at(15, &1) += 2;
        let early: Vec<_> = windows.early().collect();
        assert_eq!(early, [(Window { start: 10, end: 20 }, &1, &2)]);
    }

    #[test]
    fn sizes_that_no_windows_have_are_refused() {
        for (size, hop) in [(10, 3), (10, 0), (10, 20), (0, 0)] {
            let told =
                Windows::<u64, u64>::hopping("w", Duration::from_millis(size), Duration::from_millis(hop));
            assert!(told.is_err_and(|why| why.starts_with("windows `w`")), "{size} by {hop}");
        }
    }
}

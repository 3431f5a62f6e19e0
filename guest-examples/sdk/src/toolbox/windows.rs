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
mod fire;
mod names;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::Fault;
use crate::timers::{self, Clock};

use super::codec::{Key, Stored};
use super::hash::Map;
use super::table::Table;
use names::{Purpose, timer};

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
}

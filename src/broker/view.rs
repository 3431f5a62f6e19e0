//! Views: a transform applied on read. Nothing is stored; offsets, lag, retention and transactions are the source's.
//!
//! A view keeps a record, drops it or puts exactly one in its place. Everything else is that record's *trouble*: several
//! records, a route, a reject, a fault. Then either the read stops at this record and says why, or the record is left out
//! and counted, as the view was told.
//!
//! Two readers see the same as long as the code goes by the record alone: instances are made, kept and dropped as it suits,
//! serve all partitions and all readers, and no record is handed over exactly once. A view must not depend on what its code
//! remembers from one record to the next.
//!
//! The code sees what the reader may see: control batches never, and nothing of aborted transactions where the reader wants
//! committed records.

mod making;
mod named;
mod passage;
mod pool;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use self::pool::Pool;
use super::Broker;
use super::inline::Sinks;
use crate::model::deployment::GuestLimits;
use crate::model::limits::VIEW_INSTANCES_MAX;
use crate::model::{Offset, Partition, TimestampMs, TopicName};
use crate::wasm::{Component, Fault, LogLevel, LogSink};

pub use self::named::Named;
pub(super) use self::named::Views;
pub use self::reading::Scan;
pub(crate) use self::reading::{Look, Seen};

/// Instances that nobody has used for so long give their memory back (a guess: longer than a client's pause between fetches).
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A look that finds nothing but calls that fail ends after so long, for the next to go on with the search (a guess: clients
/// wait 30 s for an answer, and the call that is under way may take long as well).
const SEARCH_MAX: Duration = Duration::from_secs(5);

/// What becomes of a record that the code has trouble with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTrouble {
    /// the read stops there and says why
    #[default]
    Stop,
    /// the record is left out and counted
    Skip,
}

/// Why a record cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The code failed on it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The code refused it.
    #[error("the code rejected the record: {0}")]
    Rejected(String),
    /// More than one came out.
    #[error("the code made {0} records of one; a view shows one or none")]
    Several(usize),
    /// It was to go to another topic.
    #[error("the code sends the record elsewhere; a view has no routes")]
    Routed,
}

/// What a view is made of.
#[derive(Debug, Clone)]
pub struct ViewOf {
    /// how it is called in messages, such as ``view `clean` ``
    pub called: String,
    /// `name@version` of the code
    pub module: String,
    /// the topic that it shows
    pub source: TopicName,
    /// what the code reads with `config.get`
    pub params: BTreeMap<String, String>,
    /// bounds of its calls
    pub limits: GuestLimits,
    /// of single records
    pub on_trouble: OnTrouble,
}

/// A transform that readers look through.
pub struct View {
    of: ViewOf,
    /// the fault when its code could not be loaded: then nothing can be read
    component: Result<Component, Fault>,
    log: Arc<Sinks>,
    pool: Pool,
    /// what it did so far
    pub counters: Counters,
    last_trouble: Mutex<Option<TroubleAt>>,
    /// records among which, by partition, is the one that the last call failed on
    suspects: Mutex<BTreeMap<Partition, Range<Offset>>>,
    /// how long one look searches for it
    search_max: Duration,
    /// the record at which readers of a partition were last said to stop
    told: Mutex<BTreeMap<Partition, Offset>>,
    /// another has its name, or nobody has it any more
    replaced: watch::Sender<bool>,
}

/// Counts since the view was made.
#[derive(Debug, Default)]
pub struct Counters {
    /// records handed to the code; those read again count again
    pub records_in: AtomicU64,
    /// records shown
    pub records_out: AtomicU64,
    /// records left out for trouble
    pub skipped: AtomicU64,
    /// those of them that the code rejected
    pub rejected: AtomicU64,
    /// calls that failed, and verdicts that no view can have
    pub errors: AtomicU64,
}

/// A trouble and the record that it came with.
#[derive(Debug, Clone)]
pub struct TroubleAt {
    /// what it is
    pub trouble: Trouble,
    /// of the source
    pub partition: Partition,
    /// of the record
    pub offset: Offset,
    /// milliseconds since the epoch
    pub at_ms: TimestampMs,
}

// === impl View ===

impl View {
    /// A view that stands by: it keeps instances for the next reader.
    pub fn standing(of: ViewOf, component: Result<Component, Fault>, log: Sinks) -> Self {
        let instances = VIEW_INSTANCES_MAX.min(of.limits.instances as usize).max(1);
        let pool = Pool::new(instances, Arc::new(Semaphore::new(instances)));
        Self::new(of, component, log, pool, SEARCH_MAX)
    }

    fn new(
        of: ViewOf,
        component: Result<Component, Fault>,
        log: Sinks,
        pool: Pool,
        search_max: Duration,
    ) -> Self {
        Self {
            of,
            component,
            log: Arc::new(log),
            pool,
            counters: Counters::default(),
            last_trouble: Mutex::default(),
            suspects: Mutex::default(),
            search_max,
            told: Mutex::default(),
            replaced: watch::Sender::default(),
        }
    }

    /// Makes an instance, which waits for the first reader. Runs guest code: call it on the guests' threads.
    ///
    /// # Errors
    /// The fault of its start or of its `open`.
    pub async fn warm(self: &Arc<Self>) -> Result<(), Fault> {
        let mut lease = pool::lease(&self.pool).await?;
        pool::instance(&mut lease, self, 0).await?;
        self.pool.give_back(lease);
        Ok(())
    }

    /// What it is made of.
    pub fn of(&self) -> &ViewOf {
        &self.of
    }

    /// The last record that it could not show.
    pub fn last_trouble(&self) -> Option<TroubleAt> {
        self.last_trouble.lock().clone()
    }

    /// Instances that wait for a reader.
    pub fn idle_instances(&self) -> usize {
        self.pool.idle()
    }

    /// Drops instances that were not used for a while. To be called now and then.
    pub fn rest(&self) {
        self.pool.rest(IDLE_MAX);
    }

    /// Does its name mean another view by now, or nothing any more? Whoever reads on looks the name up again.
    pub(crate) fn is_replaced(&self) -> bool {
        *self.replaced.borrow()
    }

    /// Ends when the view is replaced.
    pub(super) async fn replaced(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.replaced.subscribe().wait_for(|is_replaced| *is_replaced).await;
    }

    /// Was this not the last record that readers of the partition were said to stop at?
    pub(crate) fn is_news(&self, partition: Partition, offset: Offset) -> bool {
        self.told.lock().insert(partition, offset) != Some(offset)
    }

    fn note(&self, at: TroubleAt) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        if self.of.on_trouble == OnTrouble::Skip {
            self.counters.skipped.fetch_add(1, Ordering::Relaxed);
            if matches!(at.trouble, Trouble::Rejected(_)) {
                self.counters.rejected.fetch_add(1, Ordering::Relaxed);
            }
            let text =
                format!("offset {} of topic `{}` is left out: {}", at.offset, self.of.source, at.trouble);
            (self.log)(at.partition).write(LogLevel::Error, text);
        }
        *self.last_trouble.lock() = Some(at);
    }
}

impl Broker {
    /// A view for one reader. All of them together share few instances, and none keeps one between two looks.
    pub fn passing_view(&self, of: ViewOf, component: Component, log: Arc<dyn LogSink>) -> Arc<View> {
        let pool = Pool::new(0, self.0.applied.clone());
        // There is no next look that could go on with a search.
        Arc::new(View::new(of, Ok(component), Box::new(move |_| log.clone()), pool, Duration::MAX))
    }
}

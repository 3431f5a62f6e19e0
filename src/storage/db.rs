//! The RocksDB database: its options, its families, and the few ways in which the rest of the storage touches it.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rocksdb::{
    BoundColumnFamily, Cache, ColumnFamilyDescriptor, CompactOptions, DBRawIteratorWithThreadMode,
    DBRecoveryMode, DBWithThreadMode, FlushOptions, MultiThreaded, Options, ReadOptions, WriteBatch,
    WriteBufferManager, WriteOptions, properties,
    statistics::{StatsLevel, Ticker},
};

use crate::model::limits::{GIB, MIB};

use super::error::{OpenError, ReadError};
use super::families::{self, FIXED, Family};

pub(super) type Inner = DBWithThreadMode<MultiThreaded>;
/// A family in use; keeps its files while it lives.
pub(super) type Handle<'db> = Arc<BoundColumnFamily<'db>>;
pub(super) type RawIterator<'db> = DBRawIteratorWithThreadMode<'db, Inner>;

/// The least sizes that still work, however small the memory setting (guesses).
const MEMTABLES_MIN: usize = 16 * MIB;
const CACHE_MIN: usize = 8 * MIB;
/// Recovery takes 2.5 s per GiB of WAL (measured), and an idle family must not pin more than that.
const WAL_BYTES_MAX: u64 = GIB as u64;
/// Below this every few files of the WAL would flush all families (a guess).
const WAL_BYTES_MIN: u64 = 64 * MIB as u64;
/// A WAL of so many bytes is replayed in 0.2 s (measured), which is not worth writing small files when closing.
const REPLAYED_AT_OPEN: u64 = 64 * MIB as u64;

pub(super) struct Settings {
    pub(super) path: PathBuf,
    /// of the whole server; memtables and block cache take a quarter each
    pub(super) memory: u64,
    pub(super) direct_io: bool,
    pub(super) open_files_max: i32,
    /// Read over damaged parts of the WAL: the operator has accepted that they are lost.
    pub(super) accept_loss: bool,
}

pub(super) struct Db {
    inner: Inner,
    cache: Cache,
    /// counts the memtables of all families
    memtables: WriteBufferManager,
    options: Options,
    /// families whose blob files are collected
    collected: Mutex<HashSet<String>>,
}

/// What RocksDB tells of itself, for metrics.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Figures {
    pub(super) stall_micros: u64,
    pub(super) cache_hits: u64,
    pub(super) cache_misses: u64,
    pub(super) cache_bytes: u64,
    pub(super) memtable_bytes: u64,
    pub(super) pending_compaction_bytes: u64,
    pub(super) state_keys: u64,
    pub(super) state_bytes: u64,
}

fn options(settings: &Settings, memtables: &WriteBufferManager) -> Options {
    let mut o = Options::default();
    o.create_if_missing(true);
    o.create_missing_column_families(true);
    o.set_max_background_jobs(std::thread::available_parallelism().map_or(2, |n| n.get() as i32).max(2));
    o.set_write_buffer_manager(memtables);
    // An fdatasync of a file that does not grow needs no journal: 1.3 times the throughput (measured). A file can be used
    // again once every family has flushed what it has in it, so idle families must not pin much more than the memtables
    // hold together.
    o.set_recycle_log_file_num(4);
    o.set_max_total_wal_size((settings.memory / 2).clamp(WAL_BYTES_MIN, WAL_BYTES_MAX));
    // Write-back of flushed files no longer queues in front of the WAL's fdatasync: p99 5 instead of 25 ms (measured).
    o.set_use_direct_io_for_flush_and_compaction(settings.direct_io);
    // Blob files live from the kernel's read-ahead; left on, cold reads are 6 times slower (measured).
    o.set_advise_random_on_open(false);
    // A torn tail must not stop the server. Damage in the middle is what the log-end guard is for.
    o.set_wal_recovery_mode(match settings.accept_loss {
        false => DBRecoveryMode::PointInTime,
        true => DBRecoveryMode::SkipAnyCorruptedRecord,
    });
    o.set_skip_stats_update_on_db_open(true);
    o.set_keep_log_file_num(5);
    o.set_max_log_file_size(16 * MIB);
    o.set_max_open_files(settings.open_files_max);
    o.enable_statistics();
    o.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    o.set_stats_dump_period_sec(0);
    o
}

impl Db {
    /// Opens the database with every family that it has, and makes the fixed ones that are missing. Blocking.
    pub(super) fn open(settings: &Settings) -> Result<Self, OpenError> {
        let path = &settings.path;
        let memtables = (settings.memory as usize / 4).max(MEMTABLES_MIN);
        let memtables = WriteBufferManager::new_write_buffer_manager(memtables, false);
        let options = options(settings, &memtables);
        let cache = Cache::new_lru_cache((settings.memory as usize / 4).max(CACHE_MIN));

        let mut names = existing_families(&options, path)?;
        for name in FIXED.map(Family::name).into_iter().chain(["default"]) {
            if !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        }
        let families = names.into_iter().map(|name| {
            let options = families::options(&name, &cache);
            ColumnFamilyDescriptor::new(name, options)
        });
        let inner = Inner::open_cf_descriptors(&options, path, families).map_err(|e| open_error(path, e))?;
        Ok(Self { inner, cache, memtables, options, collected: Mutex::default() })
    }

    pub(super) fn family(&self, family: Family) -> Handle<'_> {
        self.inner.cf_handle(family.name()).expect("`open` makes every fixed family and nothing drops one")
    }

    /// `None`: the topic was deleted.
    pub(super) fn topic_family(&self, name: &str) -> Option<Handle<'_>> {
        self.inner.cf_handle(name)
    }

    /// The names of all topics' families.
    pub(super) fn topic_families(&self) -> Result<Vec<String>, OpenError> {
        let mut names = existing_families(&self.options, self.inner.path())?;
        names.retain(|name| families::is_topic(name));
        Ok(names)
    }

    /// Takes up to 0.3 s when there are 1,000. Blocking.
    pub(super) fn create_family(&self, name: &str) -> Result<(), String> {
        self.inner.create_cf(name, &families::options(name, &self.cache)).map_err(rocksdb::Error::into_string)
    }

    /// Says whether the compaction of a topic's keys also collects what is dead in the middle of its blob files; not at
    /// first. A change takes as long as creating a family. Blocking.
    pub(super) fn collect_blobs(&self, family: &str, on: bool) {
        let mut collected = self.collected.lock();
        let Some(handle) = self.topic_family(family).filter(|_| collected.contains(family) != on) else {
            return;
        };
        let value = if on { "true" } else { "false" };
        match self.inner.set_options_cf(&handle, &[("enable_blob_garbage_collection", value)]) {
            Ok(()) if on => drop(collected.insert(family.to_owned())),
            Ok(()) => drop(collected.remove(family)),
            // Space is given back later, or with more writes than need be; nothing else depends on it.
            Err(error) => tracing::warn!(family, %error, "cannot change how a topic's files are collected"),
        }
    }

    /// Its files go when the last handle is dropped. Blocking.
    pub(super) fn drop_family(&self, name: &str) -> Result<(), String> {
        self.inner.drop_cf(name).map_err(rocksdb::Error::into_string)
    }

    pub(super) fn write(&self, batch: WriteBatch, options: &WriteOptions) -> Result<(), String> {
        self.inner.write_opt(batch, options).map_err(rocksdb::Error::into_string)
    }

    /// Returns when all that was written is on disk.
    pub(super) fn sync(&self) -> Result<(), String> {
        self.inner.flush_wal(true).map_err(rocksdb::Error::into_string)
    }

    pub(super) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.inner.get_cf(&self.family(family), key)?)
    }

    /// Visits the rows of `start..end` in key order, until the visitor breaks.
    pub(super) fn scan(
        &self,
        family: Family,
        (start, end): (Vec<u8>, Vec<u8>),
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let rows = self.iterator(&self.family(family), end);
        walk(rows, Some(&start), Direction::Forward, visit)
    }

    /// An iterator over a family that ends before `end`. Short-lived: it keeps files from being deleted.
    pub(super) fn iterator(&self, family: &Handle<'_>, end: impl Into<Vec<u8>>) -> RawIterator<'_> {
        self.inner.raw_iterator_cf_opt(family, bounded(end))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Gives the space of deleted ranges back; rewrites keys only. Blocking.
    pub(super) fn compact(&self, family: &str, start: &[u8], end: &[u8]) {
        let Some(handle) = self.topic_family(family) else { return };
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        self.inner.compact_range_cf_opt(&handle, Some(start), Some(end), &options);
    }

    /// Makes the next opening quick. Everything is on disk already; failing costs nothing but time.
    pub(super) fn close(&self) {
        if self.wal_bytes() > REPLAYED_AT_OPEN {
            let topics = self.topic_families().unwrap_or_default();
            let topics = topics.iter().filter_map(|name| self.topic_family(name));
            let handles: Vec<_> = FIXED.into_iter().map(|f| self.family(f)).chain(topics).collect();
            let mut options = FlushOptions::default();
            options.set_wait(true);
            if let Err(e) = self.inner.flush_cfs_opt(&handles.iter().collect::<Vec<_>>(), &options) {
                tracing::warn!(error = %e, "could not flush; the next start replays the log instead");
            }
        }
        self.inner.cancel_all_background_work(true);
    }

    /// Bytes of the write-ahead log's files, those included that wait to be used again.
    fn wal_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.inner.path()).into_iter().flatten().flatten();
        let logs = files.filter(|file| file.path().extension().is_some_and(|e| e == "log"));
        logs.filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum()
    }

    pub(super) fn figures(&self) -> Figures {
        let state = self.family(Family::State);
        let fixed = |p| {
            let of = |f| self.inner.property_int_value_cf(&self.family(f), p).ok().flatten().unwrap_or(0);
            FIXED.into_iter().map(of).sum()
        };
        let of_state = |p| self.inner.property_int_value_cf(&state, p).ok().flatten().unwrap_or(0);
        let ticker = |t| self.options.get_ticker_count(t);
        Figures {
            stall_micros: ticker(Ticker::StallMicros),
            cache_hits: ticker(Ticker::BlockCacheHit),
            cache_misses: ticker(Ticker::BlockCacheMiss),
            cache_bytes: self.cache.get_usage() as u64,
            memtable_bytes: self.memtables.get_usage() as u64,
            pending_compaction_bytes: fixed(properties::ESTIMATE_PENDING_COMPACTION_BYTES),
            state_keys: of_state(properties::ESTIMATE_NUM_KEYS),
            state_bytes: of_state(properties::LIVE_SST_FILES_SIZE),
        }
    }
}

fn existing_families(options: &Options, path: &Path) -> Result<Vec<String>, OpenError> {
    if !path.join("CURRENT").exists() {
        return Ok(Vec::new());
    }
    Inner::list_cf(options, path).map_err(|e| open_error(path, e))
}

fn open_error(path: &Path, error: rocksdb::Error) -> OpenError {
    let (kind, message) = (error.kind(), error.into_string());
    if kind == rocksdb::ErrorKind::Corruption {
        return super::reconcile::damaged_files(path, message);
    }
    OpenError::Engine { path: path.to_owned(), message }
}

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// Options of a read that ends before `end`.
pub(super) fn bounded(end: impl Into<Vec<u8>>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(end);
    options
}

/// Moves a bounded iterator from its beginning (`start`) or its end until the visitor breaks.
pub(super) fn walk(
    mut rows: RawIterator<'_>,
    start: Option<&[u8]>,
    direction: Direction,
    mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<(), ReadError> {
    match (direction, start) {
        (Direction::Forward, Some(start)) => rows.seek(start),
        (Direction::Forward, None) => rows.seek_to_first(),
        (Direction::Backward, _) => rows.seek_to_last(),
    }
    while let Some((key, value)) = rows.item() {
        if visit(key, value).is_break() {
            return Ok(());
        }
        match direction {
            Direction::Forward => rows.next(),
            Direction::Backward => rows.prev(),
        }
    }
    Ok(rows.status()?)
}

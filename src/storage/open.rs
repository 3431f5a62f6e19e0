//! Opening: lock, format, probes, database, reconciliation, logs, threads, in this order. Blocking.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::model::module::Digest;
use crate::runtime::{slices, tasks};

use super::commit::Commit;
use super::db::{self, Db};
use super::directory::{self, Directory};
use super::disk::{Disk, Probe};
use super::error::OpenError;
use super::guard::{self, Guard};
use super::identity;
use super::ledger::{Head, Ledger};
use super::log::{Log, Settings};
use super::queue::Queue;
use super::reconcile::{self, Differences};
use super::tables::{self, topics::Row};
use super::topics::{Entry, Table};
use super::writer::{self, Sink, Writer};
use super::{Options, Owner, Shared, Stop, Storage, cleaner, keeper, reader, retention};

/// Opens with a given end of the write path and a given disk.
pub(super) fn open(options: Options, sink: impl Sink, probe: Probe) -> Result<Storage, OpenError> {
    let directory = Directory::open(&options.dir)?;
    let mut warnings: Vec<String> = directory::missing_cpu_flags().into_iter().collect();
    let direct_io = directory.takes_direct_io();
    if !direct_io {
        warnings.push(format!(
            "the file system of `{}` refuses direct I/O; writes have a longer tail",
            options.dir.display()
        ));
    }
    let accept_loss = directory.accepts_loss();
    let db = Db::open(&db::Settings {
        path: directory.database(),
        memory: options.memory,
        direct_io,
        open_files_max: directory::open_files_max(),
        accept_loss,
    })?;

    let damaged = |error: super::ReadError| OpenError::Damaged {
        path: directory.database(),
        found: error.to_string(),
        cure: "restore the directory from a backup".into(),
    };
    let rows = tables::topics::load_all(&db).map_err(damaged)?;
    let differences = reconcile::compare(&rows, &db.topic_families()?);
    reconcile::repair(&db, &directory, &rows, &differences)?;
    let (table, repairs) = load_logs(&db, rows, &differences).map_err(damaged)?;
    directory.upgrade()?;

    match guard::read(&directory.guard()) {
        Ok(guarded) => {
            let tails = |id| table.get(&id).map(|e: &Entry| e.logs.iter().map(|log| log.tail()).collect());
            for loss in guard::losses(&guarded, tails) {
                tracing::error!("{loss}");
                warnings.push(loss);
            }
        }
        Err(error) => {
            warnings.push(format!("the log-end guard cannot be read, so losses would not show: {error}"));
        }
    }

    let storage = start(options, directory, db, table, warnings, sink, probe)?;
    storage.clean_up(repairs).map_err(|error| OpenError::Engine {
        path: storage.shared().directory.database(),
        message: error.to_string(),
    })?;
    if accept_loss {
        storage.shared().directory.forget_acceptance();
    }
    Ok(storage)
}

/// The logs of all topics, and a commit with what was changed on the way.
fn load_logs(
    db: &Db,
    rows: Vec<Row>,
    differences: &Differences,
) -> Result<(Table, Commit), super::ReadError> {
    let mut heads = tables::logs::load_all(db)?;
    let mut segments = tables::segments::load_all(db)?;
    let mut open = tables::open_transactions::load_all(db)?;
    let aborted_ends = tables::aborted::ends(db)?;
    let cleaned = tables::cleaned::load_all(db)?;
    let mut repairs = Commit::new();
    let mut table = Table::new();
    for row in rows {
        let id = row.topic.id;
        let settings = Settings::of(&row.topic.config);
        let is_missing = differences.missing.contains(&id);
        if is_missing {
            tables::topics::delete_contents(&mut repairs, id);
        }
        let mut logs = Vec::with_capacity(row.topic.partitions as usize);
        for partition in 0..row.topic.partitions {
            let head = heads.remove(&(id, partition)).unwrap_or_else(Head::empty);
            let closed = segments.remove(&(id, partition)).unwrap_or_default();
            let ledger = if is_missing {
                let ledger = reconcile::emptied(head);
                tables::logs::put(&mut repairs, id, partition, &ledger.head);
                ledger
            } else {
                let open = open.remove(&(id, partition)).unwrap_or_default();
                let aborted_end = aborted_ends.get(&(id, partition)).copied().unwrap_or(0);
                Ledger { head, closed: closed.into(), open, aborted_end }
            };
            let log = Log::new(id, partition, row.slot, settings, ledger);
            *log.cleaned.lock() = cleaned.get(&(id, partition)).copied().unwrap_or_default();
            logs.push(Arc::new(log));
        }
        table.insert(id, Entry { row, logs });
    }
    Ok((table, repairs))
}

fn start(
    options: Options,
    directory: Directory,
    db: Db,
    table: Table,
    warnings: Vec<String>,
    sink: impl Sink,
    probe: Probe,
) -> Result<Storage, OpenError> {
    let cluster_id = identity::load_or_make(&directory.cluster_id())?;
    let failed = watch::Sender::new(None);
    let shared = Arc::new(Shared {
        guard: Guard::new(directory.guard()),
        directory,
        db: Arc::new(db),
        queue: Arc::new(Queue::new(writer::QUEUE_UNITS)),
        jobs: Arc::new(Queue::new(reader::QUEUE_JOBS)),
        table: RwLock::new(table),
        revision: AtomicU64::new(1),
        changes: Mutex::new(()),
        producer_ids: tokio::sync::Mutex::default(),
        disk: Disk::new(probe),
        failed: failed.subscribe(),
        warnings,
        cluster_id,
        memory: options.memory,
        clock: options.clock.clone(),
        stop: Stop::default(),
    });
    let io = |source| OpenError::Io { action: "cannot start a thread", path: options.dir.clone(), source };

    // From here on the owner closes what has been started, also when a later step fails.
    let owner = Owner { shared: shared.clone(), threads: Mutex::default() };
    let cache_bytes = usize::try_from(options.memory / 8).unwrap_or(usize::MAX);
    let writer =
        Writer::new(shared.db.clone(), sink, shared.queue.clone(), failed, options.clock, cache_bytes);
    let write = move || {
        // Every acknowledgement waits for it.
        slices::short();
        writer.run();
    };
    owner.add(tasks::thread("storage-writer", write).map_err(io)?);
    for thread in reader::start(options.reader_threads, &shared.jobs).map_err(io)? {
        owner.add(thread);
    }
    let keeper = shared.clone();
    owner.add(tasks::thread("storage-keeper", move || keeper::run(&keeper)).map_err(io)?);
    let retention = shared.clone();
    owner.add(tasks::thread("storage-retention", move || retention::run(&retention)).map_err(io)?);
    let cleaner = shared;
    owner.add(tasks::thread("storage-cleaner", move || cleaner::run(&cleaner)).map_err(io)?);
    Ok(Storage(Arc::new(owner)))
}

impl Storage {
    fn clean_up(&self, repairs: Commit) -> Result<(), super::Error> {
        let shared = self.shared();
        if repairs.bytes() > 0 {
            shared.commit_now(repairs)?;
        }
        let engine = |e: super::ReadError| super::Error::Engine { action: "read", message: e.to_string() };
        let published: HashSet<Digest> = tables::modules::load_all(self)
            .map_err(engine)?
            .into_iter()
            .map(|module| module.digest)
            .collect();
        if let Some(orphans) = reconcile::orphan_pieces(&shared.db, &published).map_err(engine)? {
            shared.commit_now(orphans)?;
        }
        Ok(())
    }
}

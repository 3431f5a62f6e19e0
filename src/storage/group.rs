//! A group of commits on its way into one RocksDB write: places batches after all that was placed before them,
//! published or not, and remembers what is to be published once the write is made.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use rocksdb::WriteBatch;

use crate::model::batch::control::MarkerKind;
use crate::model::batch::{self, RecordBatch};
use crate::model::{Offset, TimestampMs, TopicId};

use super::commit::{Append, AtEnds, Commit, Late, Placed, Receipt, Row, Trim};
use super::db::{Db, Handle};
use super::error::CommitError;
use super::families::{FIXED, Family};
use super::keys::{self, Kind};
use super::log::Log;
use super::rewrite::Rewrite;
use super::tables;
use super::touched::Touched;

pub(super) struct Group<'db> {
    db: &'db Db,
    write: WriteBatch,
    fixed: [Option<Handle<'db>>; FIXED.len()],
    topics: HashMap<TopicId, Handle<'db>>,
    touched: Vec<Touched>,
    /// rows of producers by key; a busy one changes with every commit, and the last value is what counts
    producers: HashMap<Vec<u8>, Vec<u8>>,
    /// where a log stands in `touched`, by its address
    index: HashMap<usize, usize>,
    now_ms: TimestampMs,
}

impl<'db> Group<'db> {
    pub(super) fn new(db: &'db Db, bytes: usize, now_ms: TimestampMs) -> Self {
        Self {
            db,
            write: WriteBatch::with_capacity_bytes(bytes),
            fixed: Default::default(),
            topics: HashMap::new(),
            touched: Vec::new(),
            producers: HashMap::new(),
            index: HashMap::new(),
            now_ms,
        }
    }

    /// Takes a commit in, or refuses it and stays as it was.
    pub(super) fn place(&mut self, mut commit: Commit) -> Result<Receipt, CommitError> {
        if commit.fence.take().is_some_and(|fence| fence.is_closed()) {
            return Err(CommitError::Fenced);
        }
        let Some(chain) = commit.chain.take() else { return self.place_alone(commit) };
        if let Some(refusal) = chain.broken() {
            return Err(refusal.clone());
        }
        self.place_alone(commit).inspect_err(|refusal| chain.tear(refusal))
    }

    fn place_alone(&mut self, commit: Commit) -> Result<Receipt, CommitError> {
        self.check(&commit)?;
        let Commit { appends, rows, late, at_ends, trims, rewrites, retired, .. } = commit;

        // A range that is deleted comes before what is written.
        for (log, trim) in &trims {
            self.trim(log, trim);
        }
        for rewrite in rewrites {
            self.rewrite(rewrite);
        }
        for row in rows {
            self.put_row(row);
        }
        for log in &retired {
            self.touch(log).retired = true;
        }
        let placed: Vec<_> = appends.into_iter().map(|append| self.append(append)).collect();
        for Late { family, key, make, log } in late {
            let value = make(&placed);
            if log.is_some() {
                self.producers.insert(key, value);
            } else {
                let family = self.family(family);
                self.write.put_cf(&family, key, value);
            }
        }
        for AtEnds { family, key, logs, make } in at_ends {
            let ends: Vec<_> = logs.iter().map(|log| self.touch(log).head.next()).collect();
            let family = self.family(family);
            self.write.put_cf(&family, key, make(&ends));
        }
        Ok(Receipt { placed })
    }

    fn check(&mut self, commit: &Commit) -> Result<(), CommitError> {
        for (log, expected) in &commit.expects {
            let actual = self.touch(log).head.next();
            if actual != *expected {
                let (topic, partition) = (log.topic_id(), log.partition());
                return Err(CommitError::Expected { topic, partition, expected: *expected, actual });
            }
        }
        let of_trims = commit.trims.iter().map(|(log, _)| log);
        let of_rewrites = commit.rewrites.iter().map(|rewrite| &rewrite.log);
        let of_late = commit.late.iter().filter_map(|late| late.log.as_ref());
        for log in commit.appends.iter().map(|a| &a.log).chain(of_trims).chain(of_rewrites).chain(of_late) {
            let touched = self.touch(log);
            let is_gone = touched.retired || log.is_gone();
            if touched.head.is_exhausted() {
                return Err(CommitError::Unknown(format!("{log:?} has no offsets left")));
            }
            if is_gone || self.topic_family(log).is_none() {
                return Err(CommitError::TopicGone { topic: log.topic_id() });
            }
        }
        Ok(())
    }

    fn touch(&mut self, log: &Arc<Log>) -> &mut Touched {
        let at = *self.index.entry(Arc::as_ptr(log) as usize).or_insert_with(|| {
            self.touched.push(Touched::new(log.clone()));
            self.touched.len() - 1
        });
        &mut self.touched[at]
    }

    fn family(&mut self, family: Family) -> Handle<'db> {
        self.fixed[family as usize].get_or_insert_with(|| self.db.family(family)).clone()
    }

    fn topic_family(&mut self, log: &Log) -> Option<Handle<'db>> {
        if let Some(handle) = self.topics.get(&log.topic_id()) {
            return Some(handle.clone());
        }
        let handle = self.db.topic_family(&log.family)?;
        self.topics.insert(log.topic_id(), handle.clone());
        Some(handle)
    }

    fn append(&mut self, append: Append) -> Placed {
        let Append { log, batch } = append;
        let handle = self.topic_family(&log).expect("`check` has found the family");
        let keep = log.settings().keep;
        let now_ms = self.now_ms;
        let header = *batch.header();
        // A control batch that is no marker is nothing to the log.
        let marker = if header.control { MarkerKind::of(&batch).ok().flatten() } else { None };
        let touched = self.touch(&log);

        let (placed, closed) = touched.head.append(&header, now_ms, &keep);
        let batch = patch(batch, placed.base);
        let bytes = batch.bytes().clone();
        touched.batches.push(batch);
        if let Some(segment) = closed {
            touched.close(segment);
        }

        self.write.put_cf(&handle, keys::batch(log.slot, log.partition(), placed.next - 1), bytes);
        if let Some(segment) = closed {
            let key = keys::in_log(Kind::Segment, log.topic_id(), log.partition(), segment.base);
            let meta = self.family(Family::Meta);
            self.write.put_cf(&meta, key, tables::segments::encode(&segment));
        }
        if let Some(marker) = marker {
            self.end_transaction(&log, header.producer_id, marker, placed);
        } else if header.transactional && !header.control {
            self.begin_transaction(&log, header.producer_id, placed);
        }
        placed
    }

    fn begin_transaction(&mut self, log: &Arc<Log>, producer_id: i64, placed: Placed) {
        if self.touch(log).begin_transaction(producer_id, placed) {
            let family = self.family(Family::Producers);
            let row = tables::open_transactions::encode(placed.base);
            self.write.put_cf(&family, open_transaction(log, producer_id), row);
        }
    }

    fn end_transaction(&mut self, log: &Arc<Log>, producer_id: i64, marker: MarkerKind, placed: Placed) {
        let is_abort = marker == MarkerKind::Abort;
        let Some(ended) = self.touch(log).end_transaction(producer_id, placed, is_abort) else { return };
        let family = self.family(Family::Producers);
        self.write.delete_cf(&family, open_transaction(log, producer_id));
        if is_abort {
            let row = tables::aborted::Row { producer_id, first_offset: ended.first, stable: ended.stable };
            let key = keys::in_log(Kind::AbortedTransaction, log.topic_id(), log.partition(), placed.base);
            self.write.put_cf(&family, key, tables::aborted::encode(&row));
        }
    }

    /// Moves the log's start. The batches go by one range deletion.
    fn trim(&mut self, log: &Arc<Log>, trim: &Trim) {
        let now_ms = self.now_ms;
        let touched = self.touch(log);
        let Some(trimmed) = touched.trim(trim, now_ms) else { return };
        let start = touched.head.start;

        let (topic, partition) = (log.topic_id(), log.partition());
        let segment = |base| keys::in_log(Kind::Segment, topic, partition, base);
        let meta = self.family(Family::Meta);
        for dropped in trimmed.dropped {
            self.write.delete_cf(&meta, segment(dropped.base));
        }
        if let Some(cut) = trimmed.cut {
            self.write.put_cf(&meta, segment(cut.base), tables::segments::encode(&cut));
        }
        if log.has_aborted_since(0) {
            let aborted = |marker| keys::in_log(Kind::AbortedTransaction, topic, partition, marker);
            let family = self.family(Family::Producers);
            self.write.delete_range_cf(&family, aborted(0), aborted(start));
        }
        if let Some(handle) = self.topic_family(log) {
            let (from, to) = (keys::batch(log.slot, partition, 0), keys::batch(log.slot, partition, start));
            self.write.delete_range_cf(&handle, from, to);
        }
    }

    /// Removes and replaces batches as compaction says.
    fn rewrite(&mut self, rewrite: Rewrite) {
        let gone = self.touch(&rewrite.log).rewrite(&rewrite);
        let Rewrite { log, removed, replaced, markers, segments, .. } = rewrite;
        let (topic, partition) = (log.topic_id(), log.partition());

        if let Some(handle) = self.topic_family(&log) {
            let key = |last| keys::batch(log.slot, partition, last);
            for run in removed {
                if run.end - run.start == 1 {
                    self.write.delete_cf(&handle, key(run.start));
                } else {
                    self.write.delete_range_cf(&handle, key(run.start), key(run.end));
                }
            }
            for batch in replaced {
                self.write.put_cf(&handle, key(batch.header().next_offset() - 1), batch.bytes());
            }
        }
        let meta = self.family(Family::Meta);
        let segment = |base| keys::in_log(Kind::Segment, topic, partition, base);
        for base in gone {
            self.write.delete_cf(&meta, segment(base));
        }
        for new in segments {
            self.write.put_cf(&meta, segment(new.base), tables::segments::encode(&new));
        }
        if log.has_aborted_since(0) {
            let family = self.family(Family::Producers);
            for marker in markers {
                let key = keys::in_log(Kind::AbortedTransaction, topic, partition, marker);
                self.write.delete_cf(&family, key);
            }
        }
    }

    fn put_producers(&mut self) {
        if !self.producers.is_empty() {
            let family = self.family(Family::Producers);
            for (key, value) in self.producers.drain() {
                self.write.put_cf(&family, key, value);
            }
        }
    }

    fn put_row(&mut self, row: Row) {
        // What an earlier commit has put, a later one may delete.
        if let Row::Delete { family: Family::Producers, .. }
        | Row::DeleteRange { family: Family::Producers, .. } = row
        {
            self.put_producers();
        }
        match row {
            Row::Put { family, key, value } => {
                let family = self.family(family);
                self.write.put_cf(&family, key, value);
            }
            Row::Delete { family, key } => {
                let family = self.family(family);
                self.write.delete_cf(&family, key);
            }
            Row::DeleteRange { family, start, end } => {
                let family = self.family(family);
                self.write.delete_range_cf(&family, start, end);
            }
        }
    }

    /// The write, and what to publish after it. From here on nobody reads what the write deletes.
    pub(super) fn finish(mut self) -> (WriteBatch, Vec<Touched>) {
        self.put_producers();
        self.touched.retain(Touched::is_changed);
        let mut meta = None;
        for touched in &self.touched {
            if touched.trimmed {
                touched.log.set_start(touched.head.start);
            }
            if !touched.retired {
                let key = keys::of_log(Kind::Log, touched.log.topic_id(), touched.log.partition());
                let meta = meta.get_or_insert_with(|| self.db.family(Family::Meta));
                self.write.put_cf(meta, key, tables::logs::encode(&touched.head));
            }
        }
        (self.write, self.touched)
    }
}

fn open_transaction(log: &Log, producer_id: i64) -> Vec<u8> {
    keys::in_log(Kind::OpenTransaction, log.topic_id(), log.partition(), producer_id.cast_unsigned())
}

/// The batch with its base offset in place. A batch that nobody else holds is patched where it lies; the write copies
/// it anyway.
fn patch(batch: RecordBatch, base: Offset) -> RecordBatch {
    let shared = batch.bytes().clone();
    drop(batch);
    let mut own = match shared.try_into_mut() {
        // A buffer that was grown for more than its content would stay in the tail cache with all its room.
        Ok(own) if own.capacity() <= own.len() + own.len() / 2 + 1024 => own,
        Ok(own) => BytesMut::from(&own[..]),
        Err(shared) => BytesMut::from(&shared[..]),
    };
    batch::place(&mut own, base).expect("a batch has a header, and its log is not exhausted");
    RecordBatch::trusted(own.freeze()).expect("its header was read before")
}

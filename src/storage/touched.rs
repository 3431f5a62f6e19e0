//! A log as it will be when a group of commits is written: what the group has changed so far, and how that is published
//! once the write is made.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::batch::RecordBatch;
use crate::model::{Offset, TimestampMs};

use super::commit::{Placed, Trim};
use super::ledger::{self, Head, Segment};
use super::log::{Ends, Log};
use super::rewrite::Rewrite;
use super::tail_cache::TailCache;
use super::transactions::Open;

pub(super) struct Touched {
    pub(super) log: Arc<Log>,
    pub(super) head: Head,
    /// segments closed by this group, unless `segments` has them
    closed: Vec<Segment>,
    /// all closed segments, once older ones have changed too
    segments: Option<VecDeque<Segment>>,
    /// once a transaction has begun or ended
    open: Option<Open>,
    /// the offset after the last marker of an aborted transaction, if one is of this group
    aborted_end: Option<Offset>,
    pub(super) trimmed: bool,
    /// batches before it are no more what they were
    rewritten_to: Option<Offset>,
    pub(super) retired: bool,
    pub(super) batches: Vec<RecordBatch>,
}

/// What a trim does to the rows of segments.
pub(super) struct Trimmed {
    /// they go
    pub(super) dropped: Vec<Segment>,
    /// it is smaller now
    pub(super) cut: Option<Segment>,
}

/// What a marker has ended.
pub(super) struct Ended {
    /// first offset of the transaction
    pub(super) first: Offset,
    /// the last stable offset after it
    pub(super) stable: Offset,
}

impl Touched {
    pub(super) fn new(log: Arc<Log>) -> Self {
        let head = log.ledger.lock().head;
        Self {
            log,
            head,
            closed: Vec::new(),
            segments: None,
            open: None,
            aborted_end: None,
            trimmed: false,
            rewritten_to: None,
            retired: false,
            batches: Vec::new(),
        }
    }

    /// Does it have anything to write or publish?
    pub(super) fn is_changed(&self) -> bool {
        self.retired || self.trimmed || self.rewritten_to.is_some() || !self.batches.is_empty()
    }

    /// Was all of the log, before this group, on disk?
    pub(super) fn is_durable(&self) -> bool {
        self.log.durable() == self.log.tail()
    }

    pub(super) fn close(&mut self, segment: Segment) {
        match &mut self.segments {
            Some(segments) => segments.push_back(segment),
            None => self.closed.push(segment),
        }
    }

    /// All closed segments, to be changed.
    fn segments(&mut self) -> &mut VecDeque<Segment> {
        let Self { log, closed, segments, .. } = self;
        segments.get_or_insert_with(|| {
            let mut all = log.ledger.lock().closed.clone();
            all.extend(closed.drain(..));
            all
        })
    }

    /// The open transactions, to be changed.
    fn open(&mut self) -> &mut Open {
        let Self { log, open, .. } = self;
        open.get_or_insert_with(|| log.ledger.lock().open.clone())
    }

    /// A transactional batch was placed; true: it opens a transaction.
    pub(super) fn begin_transaction(&mut self, producer_id: i64, placed: Placed) -> bool {
        self.open().begin(producer_id, placed.base)
    }

    /// A marker was placed. `None`: there was nothing to end.
    pub(super) fn end_transaction(
        &mut self,
        producer_id: i64,
        placed: Placed,
        is_abort: bool,
    ) -> Option<Ended> {
        let open = self.open();
        let first = open.end(producer_id)?;
        let stable = open.stable(placed.next);
        if is_abort {
            self.aborted_end = Some(placed.next);
        }
        Some(Ended { first, stable })
    }

    fn stable(&self) -> Offset {
        match &self.open {
            Some(open) => open.stable(self.head.next()),
            None => self.log.ledger.lock().open.stable(self.head.next()),
        }
    }

    /// Moves the log's start; `None`: it stays. Never past the last stable offset.
    pub(super) fn trim(&mut self, trim: &Trim, now_ms: TimestampMs) -> Option<Trimmed> {
        let (to, cut_bytes) = match trim {
            Trim::Retention => (self.kept_from(now_ms), 0),
            Trim::To { offset, cut_bytes } => (self.stable().min(*offset), *cut_bytes),
        };
        if to <= self.head.start {
            return None;
        }
        let head = &mut self.head;
        let whole = to == head.next();
        let cut_active = head.active.base < to && !whole;
        head.start = to;

        let segments = self.segments();
        let dropped: Vec<_> = segments.drain(..segments.partition_point(|s| s.next <= to)).collect();
        let mut cut = None;
        if let Some(first) = segments.front_mut().filter(|s| s.base < to) {
            first.bytes = first.bytes.saturating_sub(cut_bytes);
            cut = Some(*first);
        }

        let gone = dropped.iter().map(|s| s.bytes).sum::<u64>() + cut_bytes;
        let head = &mut self.head;
        head.bytes = head.bytes.saturating_sub(gone);
        if whole {
            head.bytes = 0;
            head.active = Segment::empty(to);
        } else if cut_active {
            head.active.bytes = head.active.bytes.saturating_sub(cut_bytes);
        }
        self.trimmed = true;
        Some(Trimmed { dropped, cut })
    }

    /// Where the log starts when its retention has deleted what it does not keep.
    fn kept_from(&mut self, now_ms: TimestampMs) -> Offset {
        let (head, stable, keep) = (self.head, self.stable(), self.log.settings().keep);
        // Appended to by this group: then it is not old any more.
        let is_untouched = self.batches.is_empty();
        let segments = self.segments();
        let (count, is_active_old) = ledger::expired(&head, segments, stable, &keep, now_ms);
        if is_active_old && is_untouched {
            return head.next();
        }
        let last = count.checked_sub(1).and_then(|last| segments.get(last));
        last.map_or(head.start, |segment| segment.next)
    }

    /// Puts each segment in the place of the closed ones within its offsets; gives the bases of those that go.
    pub(super) fn rewrite(&mut self, rewrite: &Rewrite) -> Vec<Offset> {
        let mut gone = Vec::new();
        let mut bytes = self.head.bytes;
        let segments = self.segments();
        for new in &rewrite.segments {
            let from = segments.partition_point(|s| s.base < new.base);
            let to = segments.partition_point(|s| s.base < new.next);
            for old in segments.drain(from..to) {
                bytes = bytes.saturating_sub(old.bytes);
                if old.base != new.base {
                    gone.push(old.base);
                }
            }
            segments.insert(from, *new);
            bytes += new.bytes;
        }
        self.head.bytes = bytes;
        self.rewritten_to = self.rewritten_to.max(Some(rewrite.end));
        gone
    }

    /// Makes the written group visible: first in memory, then to whoever waits for the ends.
    pub(super) fn publish(self, cache: &mut TailCache) -> Arc<Log> {
        let Self { log, head, closed, segments, open, aborted_end, trimmed, rewritten_to, retired, batches } =
            self;
        let ends = {
            let mut ledger = log.ledger.lock();
            match segments {
                Some(segments) => ledger.closed = segments,
                None => ledger.closed.extend(closed),
            }
            if let Some(open) = open {
                ledger.open = open;
            }
            ledger.aborted_end = aborted_end.unwrap_or(ledger.aborted_end);
            ledger.head = head;
            Ends { tail: head.next(), stable: ledger.stable() }
        };
        if trimmed {
            cache.trim(&log, head.start);
        }
        if let Some(end) = rewritten_to {
            cache.trim(&log, end);
        }
        cache.push(&log, batches.into_iter());
        log.set_bytes(head.bytes);
        if let Some(end) = aborted_end {
            log.set_aborted_end(end);
        }
        log.set_ends(ends);
        if retired {
            log.set_gone();
            cache.trim(&log, Offset::MAX);
        }
        log
    }
}

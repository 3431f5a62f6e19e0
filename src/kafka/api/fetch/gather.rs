//! Gathers the batches of a fetch: reads what is there, and waits for more until there is enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::session::{Target, TopicKey};
use crate::broker::view::{Look, Scan, Seen, View};
use crate::broker::{Isolation, ReadError as BrokerReadError, TopicHandle, WaitPoint};
use crate::kafka::budget::Share;
use crate::kafka::door::Door;
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Records;
use crate::kafka::wire::messages::fetch::{AbortedTransaction, EpochEndOffset, PartitionData};
use crate::model::batch::Codec;
use crate::model::limits::{KAFKA_STALL_MAX, MIB};
use crate::model::{Offset, TopicId};
use crate::runtime::clock::monotonic;
use crate::storage::{AbortedTxn, Log, ReadError};

/// Room that a fetch waits for before it reads; what is free beyond it is taken too.
const ROOM_MIN: usize = MIB;
/// The leader epoch of everything.
const EPOCH: i32 = 0;

/// What a request asks for as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// enough
    pub(super) bytes_min: usize,
    /// of all partitions together, but for the first batch
    pub(super) bytes_max: usize,
    /// for enough
    pub(super) wait: Duration,
    /// which records
    pub(super) isolation: Isolation,
    /// the client reads zstd
    pub(super) zstd: bool,
}

/// A fetch under way.
pub(super) struct Gathering {
    parts: Vec<Part>,
    bounds: Bounds,
    bytes: usize,
    failed: bool,
    /// what views may still look at
    scan: Scan,
    /// of the budget for answers, for the bytes gathered
    share: Share,
}

/// A partition of it.
struct Part {
    target: Target,
    state: Result<Reading, ErrorCode>,
    /// where the client's log parts from this one
    diverging: EpochEndOffset,
}

struct Reading {
    topic: Arc<TopicHandle>,
    log: Arc<Log>,
    /// where it began
    from: Offset,
    /// where it goes on
    next: Offset,
    records: Records,
    /// its bound is reached
    full: bool,
}

/// A topic, or what its partitions are answered.
type FoundTopic = Result<Arc<TopicHandle>, ErrorCode>;

fn find_topic(door: &Door, key: &TopicKey) -> FoundTopic {
    let found = match key {
        TopicKey::Name(name) => door.broker().readable_named(name),
        TopicKey::Id(id) => door.broker().readable_by_id(TopicId(*id)),
    };
    found.ok_or(key.missing(ErrorCode::UnknownTopicOrPartition))
}

impl TopicKey {
    /// A topic that is asked for by id is missed in other words.
    fn missing(&self, code: ErrorCode) -> ErrorCode {
        match (self, code) {
            (Self::Id(_), ErrorCode::UnknownTopicOrPartition) => ErrorCode::UnknownTopicId,
            (_, code) => code,
        }
    }
}

// === impl Gathering ===

impl Gathering {
    pub(super) fn new(door: &Door, targets: Vec<Target>, bounds: Bounds) -> Self {
        // Neighbours mostly belong to one topic.
        let mut last: Option<(TopicKey, FoundTopic)> = None;
        let mut find = |key: &TopicKey| match &last {
            Some((known, found)) if known == key => found.clone(),
            _ => last.insert((key.clone(), find_topic(door, key))).1.clone(),
        };
        let part = |target: Target| Part::new(find(&target.topic), target);
        let parts: Vec<_> = targets.into_iter().map(part).collect();
        let failed = parts.iter().any(|part| part.state.is_err() || part.diverging.epoch >= 0);
        Self { parts, bounds, bytes: 0, failed, scan: Scan::one_of(1), share: Share::default() }
    }

    /// Until there is enough, something fails, or the time is over.
    pub(super) async fn run(&mut self, door: &Door) {
        let started = monotonic();
        loop {
            if self.parts.iter().any(|part| part.has_news(self.bounds.isolation)) && !self.read(door).await {
                return;
            }
            let left = self.bounds.wait.saturating_sub(started.elapsed());
            // A view that has looked at so much answers: its client goes on behind it.
            let is_enough = self.failed
                || self.bytes >= self.bounds.bytes_min
                || self.bytes >= self.bounds.bytes_max
                || self.scan.is_over();
            if is_enough || left.is_zero() {
                return;
            }
            let points = self.open_ends();
            if points.is_empty() {
                return;
            }
            let waiting = door.broker().wait_for_any(&points, self.bounds.isolation, left);
            if door.until_stopping(waiting).await.is_none() {
                return;
            }
        }
    }

    /// One round over all partitions; false when there was no room for what they hold.
    async fn read(&mut self, door: &Door) -> bool {
        let mut parts = std::mem::take(&mut self.parts);
        let mut has_room = true;
        for run in parts.chunk_by_mut(|one, next| one.is_view() == next.is_view()) {
            if run.first().is_some_and(Part::is_view) {
                self.look(door, run).await;
            } else {
                has_room = self.read_stored(door, run).await;
            }
            // No room but for what is gathered is held while others are waited for, least of all guests.
            self.share.shrink_to(self.bytes);
            if !has_room {
                break;
            }
        }
        self.parts = parts;
        has_room
    }

    async fn read_stored(&mut self, door: &Door, parts: &mut [Part]) -> bool {
        let bounds = self.bounds;
        if !parts.iter().any(|part| part.has_news(bounds.isolation)) {
            return true;
        }
        let wanted = bounds.bytes_max.saturating_sub(self.bytes).max(1);
        let taking = door.answers().take_up_to(wanted, ROOM_MIN);
        // Who has something to send holds room that others may be waiting for.
        let patience = if self.bytes == 0 { KAFKA_STALL_MAX } else { Duration::ZERO };
        let Ok((share, granted)) = timeout(patience, taking).await else {
            return false;
        };
        self.share.absorb(share);
        let before = self.bytes;
        for part in parts {
            let Ok(reading) = &mut part.state else { continue };
            // A partition that fails gives back what an earlier round read of it.
            let gathered = self.bytes.saturating_sub(before);
            let had = reading.records.len();
            let room = part.target.room().saturating_sub(had).min(granted.saturating_sub(gathered));
            let read = reading.read(door, room, self.bytes == 0, bounds).await;
            self.count(part, had, read);
        }
        true
    }

    /// The same for views, which take room for what they show when they show it.
    async fn look(&mut self, door: &Door, parts: &mut [Part]) {
        let bounds = self.bounds;
        for part in parts {
            let Ok(reading) = &mut part.state else { continue };
            let had = reading.records.len();
            let left = bounds.bytes_max.saturating_sub(self.bytes);
            let room = part.target.room().saturating_sub(had).min(left);
            let first = self.bytes == 0;
            let read = reading.look(door, room, first, bounds, &mut self.scan, &mut self.share).await;
            self.count(part, had, read);
        }
    }

    fn count(&mut self, part: &mut Part, had: usize, read: Result<usize, ErrorCode>) {
        match read {
            Ok(bytes) => self.bytes += bytes,
            Err(code) => {
                self.failed = true;
                self.bytes -= had;
                part.state = Err(part.target.topic.missing(code));
            }
        }
    }

    /// Where the partitions end that have room for more.
    fn open_ends(&self) -> Vec<WaitPoint> {
        let readings = self.parts.iter().filter_map(|part| part.state.as_ref().ok()).filter(|r| !r.full);
        readings.map(|reading| WaitPoint::of(&reading.log, reading.next, reading.topic.view())).collect()
    }

    /// The answers in order, and the room that they take.
    pub(super) async fn finish(self, door: &Door) -> (Vec<(Target, PartitionData)>, Share) {
        let mut results = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            results.push(part.finish(door, self.bounds.isolation).await);
        }
        (results, self.share)
    }
}

// === impl Part ===

impl Part {
    fn new(topic: FoundTopic, target: Target) -> Self {
        let mut diverging = EpochEndOffset::default();
        let state = topic.and_then(|topic| Reading::begin(topic, &target));
        if let Ok(reading) = &state
            && target.last_fetched_epoch >= 0
            && (target.last_fetched_epoch > EPOCH || reading.from > reading.log.tail())
        {
            diverging = EpochEndOffset { epoch: EPOCH, end_offset: wire_offset(reading.log.tail()) };
        }
        Self { target, state, diverging }
    }

    fn is_view(&self) -> bool {
        self.state.as_ref().is_ok_and(|reading| reading.topic.view().is_some())
    }

    fn has_news(&self, isolation: Isolation) -> bool {
        let is_read = self.diverging.epoch < 0;
        // That a topic was deleted is news too, and that a view has changed.
        let has_more = |r: &Reading| r.next < r.end(isolation) || r.log.is_gone() || r.is_outdated();
        self.state.as_ref().is_ok_and(|reading| is_read && !reading.full && has_more(reading))
    }

    async fn finish(self, door: &Door, isolation: Isolation) -> (Target, PartitionData) {
        let partition_index = self.target.partition;
        let refused = |code: ErrorCode| PartitionData {
            partition_index,
            error_code: code.code(),
            high_watermark: -1,
            records: Some(Records::new()),
            ..PartitionData::default()
        };
        let data = match self.state {
            Err(code) => refused(code),
            Ok(reading) => match reading.aborted(door, isolation).await {
                Err(error) => refused(ErrorCode::from(&error)),
                Ok(aborted_transactions) => {
                    let ends = reading.log.ends();
                    PartitionData {
                        partition_index,
                        high_watermark: wire_offset(ends.tail),
                        last_stable_offset: wire_offset(ends.stable),
                        log_start_offset: wire_offset(reading.log.start()),
                        diverging_epoch: self.diverging,
                        aborted_transactions,
                        records: Some(reading.records),
                        ..PartitionData::default()
                    }
                }
            },
        };
        (self.target, data)
    }
}

// === impl Reading ===

impl Reading {
    fn begin(topic: Arc<TopicHandle>, target: &Target) -> Result<Self, ErrorCode> {
        let partition = u32::try_from(target.partition).ok();
        let log = partition.and_then(|p| topic.log(p)).ok_or(ErrorCode::UnknownTopicOrPartition)?.clone();
        if target.current_leader_epoch > EPOCH {
            return Err(ErrorCode::UnknownLeaderEpoch);
        }
        let from = Offset::try_from(target.fetch_offset).map_err(|_| ErrorCode::OffsetOutOfRange)?;
        if target.last_fetched_epoch < 0 && !(log.start()..=log.tail()).contains(&from) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        Ok(Self { topic, log, from, next: from, records: Records::new(), full: false })
    }

    /// Does its view not hold any more?
    fn is_outdated(&self) -> bool {
        self.topic.view().is_some_and(|view| view.is_replaced())
    }

    fn end(&self, isolation: Isolation) -> Offset {
        isolation.end(self.log.ends())
    }

    /// Adds whole batches of at most `room` bytes, or one of any size if it is the `first` of the answer; the bytes.
    async fn read(
        &mut self,
        door: &Door,
        room: usize,
        first: bool,
        bounds: Bounds,
    ) -> Result<usize, ErrorCode> {
        if self.log.is_gone() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let end = self.end(bounds.isolation);
        if self.full || self.next >= end {
            return Ok(0);
        }
        if room == 0 && !first {
            self.full = true;
            return Ok(0);
        }
        let batches = door.broker().storage().read(&self.log, self.next, room.max(1)).await;
        let mut bytes = 0;
        for batch in batches.map_err(|error| ErrorCode::from(&error))? {
            let header = batch.header();
            if header.base_offset >= end {
                break;
            }
            if bytes + header.size > room && !(first && bytes == 0) {
                self.full = true;
                break;
            }
            if header.codec == Codec::Zstd && !bounds.zstd {
                return Err(ErrorCode::UnsupportedCompressionType);
            }
            bytes += header.size;
            self.next = header.next_offset();
            self.records.push(batch.bytes().clone());
        }
        Ok(bytes)
    }

    /// The same through a view: looks until something is to be sent, as long as that may take. What is passed over at the
    /// end is told by a marker, so that a client moves on also when nothing is left for it.
    async fn look(
        &mut self,
        door: &Door,
        room: usize,
        first: bool,
        bounds: Bounds,
        scan: &mut Scan,
        share: &mut Share,
    ) -> Result<usize, ErrorCode> {
        if self.is_outdated() {
            // By its id, which new code leaves as it is.
            let now = door.broker().readable_by_id(self.topic.id());
            self.topic = now.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        }
        let Some(view) = self.topic.view().cloned() else { return Ok(0) };
        if self.log.is_gone() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        if room == 0 && !first {
            self.full = true;
            return Ok(0);
        }
        let (from, mut bytes) = (self.next, 0);
        let mut seen = Seen { next: from, ..Seen::default() };
        while !self.full && self.next < self.end(bounds.isolation) && !scan.is_over() {
            let (at, left) = (self.next, room.saturating_sub(bytes).max(1));
            let look = Look { from: at, room: left, isolation: bounds.isolation };
            let looked = door.broker().look(&self.topic, &view, &self.log, look, scan).await;
            let looked = looked.map_err(|error| complain(door, &view, &error))?;
            let shown = looked.batches.iter().map(|batch| batch.header().size).sum::<usize>();
            if timeout(KAFKA_STALL_MAX, door.answers().grow(share, shown)).await.is_err() {
                scan.end();
                break;
            }
            bytes += shown;
            self.full = bytes >= room;
            (self.next, seen.next) = (looked.next, looked.next);
            seen.batches.extend(looked.batches);
            match looked.failed {
                // What lies before the record is sent first; the next fetch begins at it.
                Some(_) if self.next > from => self.full = true,
                Some(error) => return Err(complain(door, &view, &error)),
                None if self.next <= at => break,
                None => {}
            }
        }
        let mut sent = 0;
        for batch in seen.with_marker(from).batches {
            if batch.header().codec == Codec::Zstd && !bounds.zstd {
                return Err(ErrorCode::UnsupportedCompressionType);
            }
            sent += batch.header().size;
            self.records.push(batch.bytes().clone());
        }
        Ok(sent)
    }

    /// What a reader of committed records has to pass over; nothing for the others.
    async fn aborted(
        &self,
        door: &Door,
        isolation: Isolation,
    ) -> Result<Option<Vec<AbortedTransaction>>, ReadError> {
        if isolation == Isolation::Uncommitted {
            return Ok(None);
        }
        // A view has left them out.
        let found = if self.records.is_empty() || self.topic.view().is_some() {
            Vec::new()
        } else {
            door.broker().storage().aborted(&self.log, self.from, self.next).await?
        };
        let entry = |aborted: AbortedTxn| AbortedTransaction {
            producer_id: aborted.producer_id,
            first_offset: wire_offset(aborted.first_offset),
        };
        Ok(Some(found.into_iter().map(entry).collect()))
    }
}

/// A code tells a client's user little: the server's log has the rest, once for a record however often clients try.
fn complain(door: &Door, view: &View, error: &BrokerReadError) -> ErrorCode {
    let is_news = match error {
        BrokerReadError::View { partition, offset, .. } => view.is_news(*partition, *offset),
        _ => true,
    };
    if is_news {
        door.complaints().warn("-", crate::telemetry::chain(error));
    }
    ErrorCode::from(error)
}

/// The storage places no offset beyond 63 bits.
fn wire_offset(offset: Offset) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

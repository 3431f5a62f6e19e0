//! Fetch sessions (KIP-227): the server remembers which partitions a client reads and what it was told of them, so that
//! requests and answers hold only what has changed. Without waits and clocks: the time is an argument.
//!
//! Reference: Kafka's `FetchSession`, and the KIP.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::fetch::{FetchRequest, PartitionData};
use crate::model::limits::{KAFKA_FETCH_SESSION_PARTITIONS_MAX, KAFKA_FETCH_SESSIONS_MAX};

/// A session that was used within this time is not given up for another one (Kafka's
/// `min.incremental.fetch.session.eviction.ms`).
const KEPT: Duration = Duration::from_secs(120);
/// The epoch of the first request.
const INITIAL: i32 = 0;
/// The epoch of a request that wants no session.
const FINAL: i32 = -1;
/// The id of no session.
pub(super) const NONE: i32 = 0;

/// A topic as the client names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TopicKey {
    /// before version 13
    Name(Arc<str>),
    /// from version 13 on
    Id(Uuid),
}

/// A partition that is read, from where and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) topic: TopicKey,
    pub(super) partition: i32,
    pub(super) fetch_offset: i64,
    pub(super) bytes_max: i32,
    /// -1: the client does not say
    pub(super) current_leader_epoch: i32,
    /// -1 likewise
    pub(super) last_fetched_epoch: i32,
}

impl Target {
    /// Bytes that it may be answered.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.bytes_max).unwrap_or(0)
    }
}

/// How the answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// everything, and nothing is remembered
    Sessionless,
    /// everything, as the first answer of a session
    New,
    /// what has changed
    Incremental {
        /// of the session
        id: i32,
        /// of the request
        epoch: i32,
    },
}

/// The sessions of all clients.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Sessions(Mutex<Cache>);

#[derive(Debug, Default)]
struct Cache {
    sessions: HashMap<i32, Session>,
    /// in all sessions together
    partitions: usize,
}

#[derive(Debug)]
struct Session {
    by_id: bool,
    /// that the next request has to name
    epoch: i32,
    used: Instant,
    /// in the order in which they are read; who gave records goes to the end
    partitions: BTreeMap<u64, Cached>,
    order: HashMap<(TopicKey, i32), u64>,
    next: u64,
}

#[derive(Debug)]
struct Cached {
    target: Target,
    /// as told; -1: tell it again
    high_watermark: i64,
    log_start_offset: i64,
}

// === impl Sessions ===

impl Sessions {
    /// What a request asks to read, in order, and how it is answered.
    ///
    /// # Errors
    /// `FetchSessionIdNotFound`, `InvalidFetchSessionEpoch`, `FetchSessionTopicIdError`, for the whole request.
    pub(super) fn begin(
        &self,
        request: &FetchRequest,
        by_id: bool,
        now: Instant,
    ) -> Result<(Vec<Target>, Mode), ErrorCode> {
        let (id, epoch) = (request.session_id, request.session_epoch);
        let mut cache = self.0.lock();
        if epoch == INITIAL || epoch == FINAL {
            cache.remove(id);
            let mode = if epoch == FINAL { Mode::Sessionless } else { Mode::New };
            return Ok((targets(request, by_id).collect(), mode));
        }
        let Some(session) = cache.sessions.get_mut(&id) else {
            return Err(ErrorCode::FetchSessionIdNotFound);
        };
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.epoch = next_epoch(epoch);
        session.used = now;
        let before = session.order.len();
        for forgotten in &request.forgotten_topics_data {
            let topic = key(by_id, &forgotten.topic, forgotten.topic_id);
            for partition in &forgotten.partitions {
                session.forget(&topic, *partition);
            }
        }
        for target in targets(request, by_id) {
            session.set(target);
        }
        let targets: Vec<_> = session.partitions.values().map(|cached| cached.target.clone()).collect();
        let after = session.order.len();
        cache.partitions = cache.partitions - before + after;
        if targets.is_empty() || cache.partitions > KAFKA_FETCH_SESSION_PARTITIONS_MAX {
            cache.remove(id);
            return Ok((targets, Mode::Sessionless));
        }
        Ok((targets, Mode::Incremental { id, epoch }))
    }

    /// Leaves out of an answer what the client knows already; the session id that goes with it.
    pub(super) fn end(
        &self,
        mode: Mode,
        by_id: bool,
        results: &mut Vec<(Target, PartitionData)>,
        now: Instant,
    ) -> i32 {
        match mode {
            Mode::Sessionless => NONE,
            Mode::New => self.0.lock().create(by_id, results, now),
            Mode::Incremental { id, epoch } => {
                if let Some(session) = self.0.lock().sessions.get_mut(&id)
                    && session.epoch == next_epoch(epoch)
                {
                    results.retain(|(target, data)| session.tell(target, data));
                }
                id
            }
        }
    }
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

fn key(by_id: bool, name: &str, id: Uuid) -> TopicKey {
    if by_id { TopicKey::Id(id) } else { TopicKey::Name(name.into()) }
}

fn targets(request: &FetchRequest, by_id: bool) -> impl Iterator<Item = Target> {
    request.topics.iter().flat_map(move |topic| {
        let key = key(by_id, &topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |partition| Target {
            topic: key.clone(),
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        })
    })
}

// === impl Cache ===

impl Cache {
    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partitions -= session.order.len();
        }
    }

    /// The id of a new session, or [`NONE`] when there is no room for it.
    fn create(&mut self, by_id: bool, results: &[(Target, PartitionData)], now: Instant) -> i32 {
        if results.is_empty() || !self.make_room(results.len(), now) {
            return NONE;
        }
        let id = self.new_id();
        let mut session = Session {
            by_id,
            epoch: next_epoch(INITIAL),
            used: now,
            partitions: BTreeMap::new(),
            order: HashMap::new(),
            next: 0,
        };
        for (target, _) in results {
            session.set(target.clone());
        }
        for (target, data) in results {
            session.tell(target, data);
        }
        self.partitions += session.order.len();
        self.sessions.insert(id, session);
        id
    }

    /// Gives up the session that was not used for longest, if it was not used for a while.
    fn make_room(&mut self, partitions: usize, now: Instant) -> bool {
        let fits = |cache: &Self| {
            cache.sessions.len() < KAFKA_FETCH_SESSIONS_MAX
                && cache.partitions + partitions <= KAFKA_FETCH_SESSION_PARTITIONS_MAX
        };
        while !fits(self) {
            let Some((id, used)) =
                self.sessions.iter().map(|(id, s)| (*id, s.used)).min_by_key(|(_, used)| *used)
            else {
                return false;
            };
            if now.saturating_duration_since(used) < KEPT {
                return false;
            }
            self.remove(id);
        }
        true
    }

    /// Not to be guessed, so that clients do not get into each other's sessions after a restart.
    fn new_id(&self) -> i32 {
        loop {
            let (random, ..) = Uuid::new_v4().as_fields();
            let id = (random & 0x7fff_ffff) as i32;
            if id != NONE && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

// === impl Session ===

impl Session {
    /// Adds a partition at the end, or changes what is asked of it in its place.
    fn set(&mut self, target: Target) {
        let key = (target.topic.clone(), target.partition);
        if let Some(cached) = self.order.get(&key).and_then(|order| self.partitions.get_mut(order)) {
            cached.target = target;
            return;
        }
        self.order.insert(key, self.next);
        self.partitions.insert(self.next, Cached { target, high_watermark: -1, log_start_offset: -1 });
        self.next += 1;
    }

    fn forget(&mut self, topic: &TopicKey, partition: i32) {
        if let Some(order) = self.order.remove(&(topic.clone(), partition)) {
            self.partitions.remove(&order);
        }
    }

    /// Whether the client has to be told, and remembers that it was.
    fn tell(&mut self, target: &Target, data: &PartitionData) -> bool {
        let key = (target.topic.clone(), target.partition);
        let Some(order) = self.order.get(&key).copied() else { return true };
        let Some(cached) = self.partitions.get_mut(&order) else { return true };
        let failed = data.error_code != ErrorCode::None.code();
        let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        let is_news = failed
            || has_records
            || data.diverging_epoch.epoch >= 0
            || cached.high_watermark != data.high_watermark
            || cached.log_start_offset != data.log_start_offset;
        // An error is told again until it is gone, and then that it is gone.
        cached.high_watermark = if failed { -1 } else { data.high_watermark };
        cached.log_start_offset = data.log_start_offset;
        if has_records && let Some(cached) = self.partitions.remove(&order) {
            self.partitions.insert(self.next, cached);
            self.order.insert(key, self.next);
            self.next += 1;
        }
        is_news
    }
}

#[cfg(test)]
#[path = "session/tests.rs"]
mod tests;

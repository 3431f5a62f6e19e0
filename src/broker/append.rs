//! The door for batches that clients have built: checked, put in line, stored as they came.
//!
//! A call takes its tickets before it returns its future, so the order of calls is the order of records. A batch is
//! checked on its own while it waits for its turn; in its turn come its producer's sequence, its transaction and the
//! topic's transforms. Each topic of a request has a commit of its own, so that a topic that is deleted meanwhile fails
//! nobody else's batches.

mod check;
mod error;
#[cfg(test)]
mod tests;
mod transformed;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use self::check::Candidate;
pub(super) use self::check::rules_of;
use super::admission::{Permit, RECORD_OVERHEAD};
use super::lane::Tickets;
use super::producers::{Begin, First, Refusal, Slot};
use super::transactions::Membership;
use super::{Broker, ProduceError, TopicHandle};
use crate::model::batch::{Payload, RecordBatch};
use crate::model::producer::Stamp;
use crate::model::transaction::Producer;
use crate::model::{Offset, Partition, TimestampMs};
use crate::storage::{Commit, CommitError, Log, Placed};

pub use error::AppendError;

/// Batches of one client.
#[derive(Default)]
pub struct AppendRequest {
    /// in any order; those of one partition are stored in theirs
    pub entries: Vec<AppendEntry>,
    /// the transaction that they may be part of
    pub transaction: Option<TransactionOf>,
    /// room taken beforehand; `None`: taken now, or refused
    pub permit: Option<Permit>,
}

/// A batch and where it is to go.
pub struct AppendEntry {
    /// where to
    pub topic: Arc<TopicHandle>,
    /// and there
    pub partition: Partition,
    /// as the client sent it
    pub batch: Bytes,
}

/// The transaction of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionOf {
    /// the transactional id
    pub id: String,
    /// version 2: partitions join by being written to
    pub joins: bool,
}

/// What became of a request's batches.
#[derive(Debug)]
pub struct AppendReply {
    /// one per entry, in their order
    pub results: Vec<Result<Appended, AppendError>>,
}

/// A batch that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// offset of its first record; `None` when transforms left nothing of it
    pub base_offset: Option<Offset>,
    /// the time of its records where the topic stamps them
    pub append_time: Option<TimestampMs>,
    /// the oldest kept in the partition
    pub log_start_offset: Offset,
    /// it was stored before
    pub duplicate: bool,
}

/// A request's batches for one topic, in line.
struct Share {
    topic: Arc<TopicHandle>,
    tickets: Tickets,
    entries: Vec<Entry>,
}

struct Entry {
    /// in the request
    index: usize,
    partition: Partition,
    batch: Bytes,
}

/// A batch that has its place among its producer's batches and in its transaction, in its turn. Dropped before it is
/// put into a commit, it gives its place back.
struct Standing {
    log: Arc<Log>,
    batch: RecordBatch,
    /// its records uncompressed, for the topic's transforms
    payload: Option<Payload>,
    append_time: Option<TimestampMs>,
    slot: Option<Slot>,
}

/// Where the outcome of a batch comes from.
enum Place {
    /// the topic's commit
    Here {
        /// number in the receipt; `None`: transforms left nothing of it
        append: Option<usize>,
        append_time: Option<TimestampMs>,
    },
    /// the commit of its first copy
    Elsewhere(First),
}

type Results = Vec<(usize, Result<Appended, AppendError>)>;

impl Broker {
    /// Appends batches; waits for the durability of their topics. Places in line are taken before the future is returned,
    /// and given back when it is dropped.
    pub fn append(
        &self,
        request: AppendRequest,
    ) -> impl Future<Output = AppendReply> + Send + 'static + use<> {
        let AppendRequest { entries, transaction, permit } = request;
        let broker = self.clone();
        let count = entries.len();
        let permit = permit.map_or_else(|| self.admit(&entries), Ok);
        let shares = permit.is_ok().then(|| in_line(entries));
        async move {
            let mut results: Vec<Option<_>> = Vec::new();
            results.resize_with(count, || None);
            let refused = match (permit, shares) {
                (Ok(permit), Some(shares)) => {
                    let permit = Arc::new(permit);
                    let work = shares
                        .into_iter()
                        .map(|share| broker.append_to_topic(share, transaction.as_ref(), permit.clone()));
                    for (index, result) in join_all(work).await.into_iter().flatten() {
                        if let Some(slot) = results.get_mut(index) {
                            *slot = Some(result);
                        }
                    }
                    None
                }
                (permit, _) => permit.err(),
            };
            let missing = || Err(refused.as_ref().map_or(AppendError::Closed, of_admission));
            AppendReply { results: results.into_iter().map(|r| r.unwrap_or_else(missing)).collect() }
        }
    }

    fn admit(&self, entries: &[AppendEntry]) -> Result<Permit, ProduceError> {
        let bytes = entries.iter().map(|entry| entry.batch.len() + RECORD_OVERHEAD).sum();
        self.0.admission.admit(bytes)
    }

    async fn append_to_topic(
        &self,
        share: Share,
        transaction: Option<&TransactionOf>,
        permit: Arc<Permit>,
    ) -> Results {
        let Share { topic, mut tickets, entries } = share;
        let now_ms = self.0.clock.now_ms();
        let mut results = Vec::with_capacity(entries.len());
        let mut candidates = Vec::with_capacity(entries.len());
        for Entry { index, partition, batch } in entries {
            match self.check_batch(&topic, partition, batch, now_ms).await {
                Ok(candidate) => candidates.push((index, candidate)),
                Err(error) => results.push((index, Err(error))),
            }
        }
        tickets.turn().await;

        let mut commit = Commit::new();
        commit.hold(permit);
        let mut places = Vec::with_capacity(candidates.len());
        // The transforms of this moment count: what was deployed while the batches stood in line holds for them.
        let chain = topic.chain();
        let partitions = || candidates.iter().map(|(_, candidate)| candidate.log.partition()).collect();
        let seen = chain.as_ref().map(|chain| chain.uncommitted(partitions()));
        for round in rounds(candidates, chain.is_some()) {
            let mut standing = Vec::new();
            let mut waiting = Vec::new();
            for (index, candidate) in round {
                let log = candidate.log.clone();
                commit.hold(candidate.room.clone());
                match self.stand(candidate, transaction) {
                    Ok(Ok(one)) if chain.is_none() => places.push((index, log, one.put(&mut commit))),
                    Ok(Ok(one)) => {
                        standing.push(one);
                        waiting.push((index, log));
                    }
                    Ok(Err(first)) => places.push((index, log, Place::Elsewhere(first))),
                    Err(error) => results.push((index, Err(error))),
                }
            }
            if let Some(chain) = chain.as_ref().filter(|_| !standing.is_empty()) {
                let done = self.transform(&topic, chain, standing, transaction, &mut commit).await;
                for ((index, log), done) in waiting.into_iter().zip(done) {
                    match done {
                        Ok(place) => places.push((index, log, place)),
                        Err(error) => results.push((index, Err(error))),
                    }
                }
            }
        }
        let committed = if places.iter().any(|(_, _, place)| matches!(place, Place::Here { .. })) {
            self.submit_in_turn(commit, tickets).await
        } else {
            drop(tickets);
            Ok(Vec::new())
        };
        if let Some(seen) = seen.filter(|_| committed.is_ok()) {
            seen.committed();
        }
        for (index, log, place) in places {
            results.push((index, self.outcome(&topic, &log, place, &committed).await));
        }
        results
    }

    /// What has to be decided in the partition's order: is it its producer's next batch, and does its transaction take it?
    /// Else the first copy of what is a repetition.
    fn stand(
        &self,
        candidate: Candidate,
        transaction: Option<&TransactionOf>,
    ) -> Result<Result<Standing, First>, AppendError> {
        let Candidate { log, batch, payload, append_time, .. } = candidate;
        let header = *batch.header();
        let mut slot = None;
        if let Some(stamp) = Stamp::of(&header) {
            let joins = header.transactional && transaction.is_some_and(|t| t.joins);
            let producers = self.0.producers.of(&log);
            match producers.begin(&stamp, joins, self.0.clock.now_ms()).map_err(of_refusal)? {
                Begin::Duplicate(first) => return Ok(Err(first)),
                Begin::New(new) => slot = Some(new),
            }
            let producer = Producer { id: stamp.producer_id, epoch: stamp.epoch };
            self.check_transaction(&log, producer, header.transactional, transaction)?;
        }
        Ok(Ok(Standing { log, batch, payload, append_time, slot }))
    }

    /// A transactional batch has to belong to its producer's open transaction, another one must not lie in it.
    fn check_transaction(
        &self,
        log: &Arc<Log>,
        producer: Producer,
        transactional: bool,
        transaction: Option<&TransactionOf>,
    ) -> Result<(), AppendError> {
        let transactions = &self.0.transactions;
        let at = (log.topic_id(), log.partition());
        if !transactional {
            return Ok(transactions.check_outside(producer.id, at)?);
        }
        let TransactionOf { id, joins } = transaction.ok_or(AppendError::NoTransactionalId)?;
        let membership = if *joins { Membership::Joins } else { Membership::Added };
        Ok(transactions.check_inside(id, producer, at, membership, self.0.clock.now_ms())?)
    }

    /// Hands the commit to the writer, gives the tickets back and waits for the outcome.
    async fn submit_in_turn(&self, commit: Commit, tickets: Tickets) -> Result<Vec<Placed>, CommitError> {
        let pending = self.0.storage.submit(commit).await?;
        drop(tickets);
        Ok(pending.receipt().await?.placed)
    }

    async fn outcome(
        &self,
        topic: &TopicHandle,
        log: &Log,
        place: Place,
        committed: &Result<Vec<Placed>, CommitError>,
    ) -> Result<Appended, AppendError> {
        let (base_offset, append_time, duplicate) = match place {
            Place::Here { append, append_time } => {
                let placed = committed.as_ref().map_err(|e| of_commit(topic, e))?;
                let base = append.and_then(|append| placed.get(append)).map(|placed| placed.base);
                (base, append_time, false)
            }
            Place::Elsewhere(first) => {
                let lost = || AppendError::Unknown("the first copy of the batch was not stored".to_owned());
                let stored = first.outcome().await.ok_or_else(lost)?;
                // What the writer has placed and failed to write is not acknowledged to anyone.
                if stored.base.is_some_and(|base| base >= log.tail()) {
                    return Err(lost());
                }
                (stored.base, stored.append_time, true)
            }
        };
        Ok(Appended { base_offset, append_time, log_start_offset: log.start(), duplicate })
    }
}

impl Standing {
    /// Puts the batch as it is into the commit, with its producer's row.
    fn put(self, commit: &mut Commit) -> Place {
        let Self { log, batch, append_time, slot, .. } = self;
        let append = Some(commit.append(&log, batch));
        if let Some(slot) = slot {
            slot.put(append, append_time, commit);
        }
        Place::Here { append, append_time }
    }
}

/// With transforms, batches of one partition go one after the other: a batch that fails takes its place among its
/// producer's batches with it, and the next one has to be judged without it.
fn rounds(candidates: Vec<(usize, Candidate)>, one_by_one: bool) -> Vec<Vec<(usize, Candidate)>> {
    if !one_by_one {
        return vec![candidates];
    }
    let mut seen = HashMap::new();
    let mut rounds: Vec<Vec<_>> = Vec::new();
    for (index, candidate) in candidates {
        let round: &mut usize = seen.entry(candidate.log.partition()).or_default();
        if rounds.len() <= *round {
            rounds.push(Vec::new());
        }
        rounds[*round].push((index, candidate));
        *round += 1;
    }
    rounds
}

/// Gets in line for everything, topic by topic. Nobody waits for one topic while standing first in another's lanes.
fn in_line(entries: Vec<AppendEntry>) -> Vec<Share> {
    let mut shares: Vec<(Arc<TopicHandle>, Vec<Entry>)> = Vec::new();
    let mut known = HashMap::new();
    for (index, AppendEntry { topic, partition, batch }) in entries.into_iter().enumerate() {
        let at = *known.entry(topic.id()).or_insert_with(|| {
            shares.push((topic, Vec::new()));
            shares.len() - 1
        });
        shares[at].1.push(Entry { index, partition, batch });
    }
    let share = |(topic, entries): (Arc<TopicHandle>, Vec<Entry>)| {
        // A partition that the topic does not have has no lane either.
        let partitions: BTreeSet<_> =
            entries.iter().map(|e| e.partition).filter(|p| topic.log(*p).is_some()).collect();
        Share { tickets: topic.lanes().take(partitions), topic, entries }
    };
    shares.into_iter().map(share).collect()
}

fn of_admission(error: &ProduceError) -> AppendError {
    match error {
        ProduceError::Overloaded { in_flight, limit } => {
            AppendError::Overloaded { in_flight: *in_flight, limit: *limit }
        }
        ProduceError::RequestTooLarge { found, limit } => {
            AppendError::RequestTooLarge { found: *found, limit: *limit }
        }
        other => AppendError::Unknown(other.to_string()),
    }
}

fn of_refusal(refusal: Refusal) -> AppendError {
    match refusal {
        Refusal::Sequence(error) => AppendError::Sequence(error),
        Refusal::Full(remembered) => AppendError::ProducersFull { remembered },
    }
}

fn of_commit(topic: &TopicHandle, error: &CommitError) -> AppendError {
    match error {
        CommitError::DiskFull { free, reserve } => AppendError::DiskFull { free: *free, reserve: *reserve },
        CommitError::TopicGone { .. } => AppendError::TopicGone(topic.name().clone()),
        CommitError::Closed => AppendError::Closed,
        CommitError::Unknown(cause) => AppendError::Unknown(cause.clone()),
        other @ (CommitError::Expected { .. } | CommitError::Fenced) => {
            AppendError::Unknown(other.to_string())
        }
    }
}

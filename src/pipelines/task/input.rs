//! What a task reads: its inputs, where it goes on in them, and their batches.

use std::sync::atomic::Ordering;

use super::super::flight::Place;
use super::super::instance::{GRANTS_UNUSABLE, check_grants};
use super::super::status::TaskInput;
use super::{Order, Stop, TURN, Task};
use crate::broker::Isolation;
use crate::broker::fetch::Visible;
use crate::model::batch::{Payload, RecordBatch};
use crate::model::limits::{BATCH_UNCOMPRESSED_MAX, MIB};
use crate::model::{Offset, Partition, TopicId};
use crate::runtime::{backoff, clock};
use crate::state::positions::{self, Positions};
use crate::storage::ReadError;

/// Bytes asked of the storage in one read.
const READ_BYTES: usize = MIB;

impl Task {
    /// Finds inputs and positions.
    pub(super) async fn open(&mut self) -> Result<(), Stop> {
        let stored = {
            let id = self.id();
            let storage = self.shared.broker.storage();
            storage.on_reader(move |storage| positions::load(storage, id)).await
        };
        let stored = match stored {
            Ok(Ok(stored)) => stored,
            Ok(Err(error)) => return Err(self.failed("state_unreadable", error.to_string())),
            Err(_) => return Err(Stop::Closed),
        };
        self.flight.begin();
        self.inputs.clear();
        self.next.clear();
        self.samples = self.deployment.spec.internal.iter().map(|_| None).collect();
        self.timers_wait = false;
        self.status.set_held_back(false);
        self.note_all_read(&stored);
        for (index, name) in self.deployment.spec.inputs().iter().enumerate() {
            let topic = self.shared.broker.topic(name.as_str());
            let topic = topic.map_err(|error| self.failed("topic_gone", error.to_string()))?;
            if let Some(log) = topic.log(self.status.partition) {
                // An internal topic goes with the state alone; this task may have been handed nothing yet.
                if self.internal(index).is_none()
                    && !stored.contains_key(&(log.topic_id(), log.partition()))
                    && stored.keys().any(|(id, _)| self.shared.broker.topic_by_id(*id).is_none())
                {
                    let text = format!(
                        "topic `{name}` was deleted and created again, the state belongs to the records of the old \
                         one; rewind to earliest with the state kept or cleared"
                    );
                    return Err(self.failed("topic_replaced", text));
                }
                self.next.push(self.beginning(&stored, log.topic_id(), log.partition()));
                self.inputs.push(TaskInput { topic: name.clone(), log: log.clone() });
            }
        }
        self.status.set_inputs(self.inputs.clone());
        self.begin_time().await?;
        self.note_time();
        for (input, next) in self.inputs.iter().zip(&self.next) {
            self.status.set_position(&input.topic, input.log.partition(), *next);
        }
        // Before the first record asks for it: the operator may have taken a secret away while the server stood still.
        check_grants(&self.shared, &self.deployment.spec).map_err(|why| self.failed(GRANTS_UNUSABLE, why))
    }

    fn beginning(&self, stored: &Positions, topic: TopicId, partition: Partition) -> Offset {
        let start = || self.deployment.start.iter().find(|s| s.topic == topic && s.partition == partition);
        stored.get(&(topic, partition)).copied().or_else(|| start().map(|s| s.offset)).unwrap_or(0)
    }

    /// Tells the other tasks how far it stands in the internal topics, also when it then cannot open.
    fn note_all_read(&self, stored: &Positions) {
        for (index, name) in self.deployment.spec.internal_topics().enumerate() {
            let topic = self.shared.broker.topic_named(name.as_str());
            if let Some(log) = topic.as_ref().and_then(|topic| topic.log(self.status.partition)) {
                let next = self.beginning(stored, log.topic_id(), log.partition());
                self.backlog.read_to(index, self.status.partition, next);
            }
        }
    }

    /// Tells the other tasks how far an internal topic is read.
    pub(super) fn note_read(&self, index: usize) {
        if let Some(topic) = self.internal(index) {
            self.backlog.read_to(topic, self.status.partition, self.next[index]);
        }
    }

    /// Does too much wait in an internal topic for more to be read of this input?
    pub(super) fn is_held_back(&self, index: usize) -> bool {
        self.internal(index).is_none() && self.backlog.is_full()
    }

    /// The index of an input with records, the inputs in turn; `None`: something else is due. While too much waits in an
    /// internal topic, whoever's it is, only those are read.
    pub(super) async fn wait_for_records(&mut self) -> Result<Option<usize>, Stop> {
        loop {
            self.check_orders()?;
            let mut eased = self.backlog.watch();
            let is_full = self.backlog.is_full();
            if self.timers_wait && !is_full {
                return Ok(None);
            }
            self.share_time();
            self.status.set_held_back(is_full);
            for _ in 0..self.inputs.len() {
                self.turn = (self.turn + 1) % self.inputs.len();
                let may_be_read = !is_full || self.internal(self.turn).is_some();
                if may_be_read && self.inputs[self.turn].log.stable() > self.next[self.turn] {
                    return Ok(Some(self.turn));
                }
            }
            if let Some(gone) = self.inputs.iter().find(|i| i.log.is_gone()) {
                let text = format!("topic `{}` was deleted; restart when it is there again", gone.topic);
                return Err(self.failed("topic_gone", text));
            }
            if self.inputs.is_empty() {
                self.ordered().await;
                continue;
            }
            let first = if is_full { self.deployment.spec.input.topics.len() } else { 0 };
            let read = self.inputs.iter().zip(&self.next).skip(first);
            let waits = read.map(|(i, next)| Box::pin(i.log.wait_stable_past(*next)));
            let (due, moment) = (self.rounds.due(), self.moment());
            let (mut orders, flight) = (self.orders.clone(), &mut self.flight);
            let (places, holds) = (self.places.clone(), self.instance.is_some());
            let waits_for_time = self.time.as_ref().is_some_and(|time| time.topics() > 0);
            let passed = &mut self.passed;
            let ended = tokio::select! {
                biased;
                _ = orders.wait_for(|order| *order != Order::Run) => Ok(false),
                ended = flight.next(), if !flight.is_empty() => ended.map(|()| false),
                _ = futures_util::future::select_all(waits) => Ok(false),
                _ = eased.changed(), if is_full => Ok(false),
                _ = passed.changed(), if waits_for_time => return Ok(None),
                () = due => return Ok(None),
                () = moment => return Ok(None),
                // Nothing to do, and another task waits.
                () = places.wanted(), if holds => Ok(true),
            };
            if ended.map_err(|refused| self.refusal(refused))? {
                self.drop_instance();
            }
        }
    }

    /// Its turn is over when it was long enough and another task of the deployment waits for a place.
    pub(super) fn make_room(&mut self) {
        let long = self.since.is_some_and(|since| clock::monotonic().duration_since(since) >= TURN);
        if long && self.places.are_wanted() {
            self.drop_instance();
        }
    }

    /// What lies before `next` and was not read is for no reader of committed records. The next commit stores the
    /// position; whoever waits for it need not wait so long.
    pub(super) fn pass_over(&mut self, index: usize, next: Offset) {
        if self.next[index] < next {
            self.next[index] = next;
            self.note_read(index);
            self.tell(index);
        }
    }

    /// Whole batches of committed records from the next offset of an input on.
    pub(super) async fn read(&mut self, index: usize) -> Result<Visible, Stop> {
        let mut failed = 0;
        loop {
            let log = &self.inputs[index].log;
            let from = self.next[index];
            match self.shared.broker.visible(log, from, READ_BYTES, Isolation::Committed).await {
                Ok(visible) => return Ok(visible),
                Err(ReadError::OutOfRange { start, .. }) if self.next[index] < start => {
                    self.gap(index, start)?;
                }
                Err(ReadError::Closed) => return Err(Stop::Closed),
                Err(error) => {
                    failed += 1;
                    if failed > self.deployment.spec.on_error.max_retries {
                        return Err(self.failed("input_unreadable", error.to_string()));
                    }
                    self.pause(backoff::pause(self.deployment.spec.on_error.backoff, failed)).await?;
                }
            }
        }
    }

    /// Records were deleted before this task read them.
    fn gap(&mut self, index: usize, start: Offset) -> Result<(), Stop> {
        let (position, input) = (self.next[index], &self.inputs[index]);
        if !self.deployment.spec.skip_input_gap {
            // Positions in an internal topic are moved with the state alone.
            let rewind =
                if self.internal(index).is_some() { "with the state cleared" } else { "to earliest" };
            let text = format!(
                "records {position}..{start} of `{}` partition {} were deleted before they were read; rewind \
                 {rewind}, or set skip_input_gap",
                input.topic, self.status.partition
            );
            return Err(self.failed("input_gap", text));
        }
        self.status.counts.gap_records.fetch_add(start - position, Ordering::Relaxed);
        self.next[index] = start;
        self.tell(index);
        Ok(())
    }

    /// Where it reads on is where it stands, once the commits under way are made.
    pub(super) fn tell(&mut self, index: usize) {
        let (topic, next) = (self.inputs[index].topic.clone(), self.next[index]);
        self.flight.tell(Place { topic, partition: self.status.partition, next });
    }

    /// The records of the first batches: one batch at least, and enough to fill a call. No more, because a MiB of
    /// compressed ones may be a hundred when it is unpacked.
    pub(super) fn unpack(&self, batches: &[RecordBatch]) -> Result<Vec<Payload>, Stop> {
        let (mut records, mut bytes) = (0, 0);
        let mut payloads = Vec::new();
        for batch in batches {
            if records >= self.deployment.spec.limits.batch.records || bytes >= READ_BYTES {
                break;
            }
            let payload = batch.payload(BATCH_UNCOMPRESSED_MAX);
            let payload = payload.map_err(|e| self.failed("input_unreadable", e.to_string()))?;
            records += batch.header().count as usize;
            bytes += payload.bytes().len();
            payloads.push(payload);
        }
        Ok(payloads)
    }
}

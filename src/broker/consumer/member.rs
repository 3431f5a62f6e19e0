//! One member: what it is assigned, how far it has read, and what was given and is not committed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, Notify};
use tokio::task::JoinHandle;

use super::enter::{Counted, Entered, Entering};
use super::{CommittedOffset, ConsumerError, Given, MemberOptions, Progress};
use crate::broker::Broker;
use crate::groups::client::Partitions;
use crate::groups::machine::{MemberId, OffsetCommitter};
use crate::groups::{GroupError, GroupId};
use crate::model::{Offset, Partition, TopicId, TopicName};
use crate::runtime::clock::monotonic;
use crate::runtime::tasks;

/// How long a request waits for the one before it of the same member, which is told to end.
const TURN_WAIT: Duration = Duration::from_secs(10);
/// Time between two signs of life while a request waits (Kafka's `heartbeat.interval.ms`); shorter than a third of the
/// shortest session.
pub(super) const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);

/// A member.
pub(super) struct Member {
    pub(super) group: GroupId,
    pub(super) id: MemberId,
    /// whose turn it is; the task that enters the group belongs to it
    turn: tokio::sync::Mutex<Turn>,
    pub(super) held: Mutex<Held>,
    /// somebody else of the same member has come
    pub(super) interrupt: Notify,
    /// stops the task that enters
    entering: Mutex<Option<tokio::task::AbortHandle>>,
}

/// What one request at a time works with.
#[derive(Default)]
pub(super) struct Turn {
    entering: Option<JoinHandle<Result<Entered, GroupError>>>,
    counted: Counted,
}

/// What is known of it.
pub(super) struct Held {
    pub(super) options: MemberOptions,
    /// −1: it has to join
    generation: i32,
    /// it has to join again although it is in
    is_stale: bool,
    pub(super) places: BTreeMap<(TopicName, Partition), Place>,
    used: Instant,
    /// where the next read begins, so that every partition has its turn
    pub(super) rotation: usize,
}

/// Where it stands in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic_id: TopicId,
    /// `None`: to be asked of the group
    pub(super) next: Option<Offset>,
    /// what is committed, or where it began
    pub(super) base: Option<Offset>,
    /// records were given that are not committed
    pub(super) is_ahead: bool,
}

/// What a request wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// until when to wait for records
    pub(super) until: Instant,
    /// until when to wait for the group
    pub(super) enter_until: Instant,
    pub(super) records: usize,
    pub(super) bytes: usize,
    /// end at once when the generation is not this one
    pub(super) seen: Option<Option<i32>>,
}

/// What came of it.
pub(super) struct Stepped {
    pub(super) generation: i32,
    pub(super) is_rebalancing: bool,
    pub(super) records: Vec<Given>,
}

// === impl Member ===

impl Member {
    pub(super) fn new(group: &GroupId, id: MemberId, options: &MemberOptions) -> Self {
        Self {
            group: group.clone(),
            id,
            turn: tokio::sync::Mutex::default(),
            held: Mutex::new(Held {
                options: options.clone(),
                generation: -1,
                is_stale: false,
                places: BTreeMap::new(),
                used: monotonic(),
                rotation: 0,
            }),
            interrupt: Notify::new(),
            entering: Mutex::new(None),
        }
    }

    /// The turn to work with it. A request that is still waiting ends.
    pub(super) async fn turn(&self) -> Result<MutexGuard<'_, Turn>, ConsumerError> {
        if let Ok(turn) = self.turn.try_lock() {
            return Ok(turn);
        }
        self.interrupt.notify_waiters();
        let busy = |_| ConsumerError::Busy { member: self.id.clone() };
        tokio::time::timeout(TURN_WAIT, self.turn.lock()).await.map_err(busy)
    }

    /// Has its session ended, as far as can be told here?
    pub(super) fn is_over(&self) -> bool {
        let held = self.held.lock();
        self.turn.try_lock().is_ok_and(|turn| turn.entering.as_ref().is_none_or(JoinHandle::is_finished))
            && held.used.elapsed() > held.options.session_timeout
    }

    /// Takes what it says of itself now.
    pub(super) fn update(&self, options: MemberOptions) {
        let mut held = self.held.lock();
        held.is_stale |= held.options != options;
        held.options = options;
    }

    pub(super) fn assignment(&self) -> Vec<(TopicName, Vec<Partition>)> {
        let mut topics: Vec<(TopicName, Vec<Partition>)> = Vec::new();
        for (topic, partition) in self.held.lock().places.keys() {
            match topics.last_mut() {
                Some((last, list)) if last == topic => list.push(*partition),
                _ => topics.push((topic.clone(), vec![*partition])),
            }
        }
        topics
    }

    /// What was given and is not committed.
    pub(super) fn uncommitted(&self) -> Vec<(TopicName, Partition, Offset)> {
        let held = self.held.lock();
        let ahead = held.places.iter().filter(|(_, place)| place.is_ahead);
        ahead
            .filter_map(|((topic, partition), place)| Some((topic.clone(), *partition, place.next?)))
            .collect()
    }

    /// Ends what it has begun.
    pub(super) fn stop(&self) {
        if let Some(task) = self.entering.lock().take() {
            task.abort();
        }
    }

    /// Goes back to what is committed, everywhere: what was given since comes again.
    pub(super) fn go_back(&self) {
        for place in self.held.lock().places.values_mut().filter(|place| place.is_ahead) {
            (place.next, place.is_ahead) = (place.base, false);
        }
    }

    /// Commits for the member. A commit that is refused changes nothing.
    pub(super) async fn commit(&self, broker: &Broker, progress: Progress) -> Result<(), ConsumerError> {
        let offsets = match progress {
            Progress::Offsets(offsets) => offsets,
            Progress::Previous => self.uncommitted().into_iter().map(CommittedOffset::from).collect(),
        };
        let new = broker.new_offsets(&offsets)?;
        let generation = {
            let held = self.held.lock();
            if let Some(foreign) =
                new.iter().find(|o| !held.places.contains_key(&(o.topic.clone(), o.partition)))
            {
                let (topic, partition) = (foreign.topic.clone(), foreign.partition);
                return Err(ConsumerError::NotAssigned { member: self.id.clone(), topic, partition });
            }
            held.generation
        };
        let places: Vec<_> = new.iter().map(|o| (o.topic.clone(), o.partition)).collect();
        let who = OffsetCommitter { member_id: self.id.clone(), instance_id: None, generation };
        match broker.commit_as(&self.group, who, new).await {
            Err(ConsumerError::Group(error)) => return Err(ConsumerError::of(&self.id, error)),
            other => other?,
        }
        let mut held = self.held.lock();
        for (at, given) in places.into_iter().zip(offsets) {
            let Some(place) = held.places.get_mut(&at) else { continue };
            place.base = Some(given.offset);
            place.is_ahead = place.next != Some(given.offset);
        }
        Ok(())
    }

    /// Sees to it that the member is in the group, then reads. Positions move with the last thing that it does, so that
    /// dropping the future loses nothing.
    pub(super) async fn step(
        &self,
        broker: &Broker,
        turn: &mut Turn,
        step: Step,
    ) -> Result<Stepped, ConsumerError> {
        loop {
            let interrupted = self.interrupt.notified();
            let is_in = self.alive(broker, turn, step.enter_until).await?;
            let generation = self.held.lock().generation;
            let nothing = |is_rebalancing| Stepped { generation, is_rebalancing, records: Vec::new() };
            if !is_in {
                return Ok(nothing(true));
            }
            if step.seen.is_some_and(|seen| seen != Some(generation)) {
                return Ok(nothing(false));
            }
            self.locate(broker).await?;
            let read = self.read(broker, step.records, step.bytes).await?;
            let now = monotonic();
            if !read.records.is_empty() || now >= step.until {
                return Ok(Stepped { generation, is_rebalancing: false, records: self.take(read) });
            }
            self.take(read);
            let wait = (step.until - now).min(HEARTBEAT_EVERY);
            tokio::select! {
                () = self.wait(broker, wait) => {}
                () = interrupted => return Ok(nothing(false)),
            }
        }
    }

    /// Gives a sign of life, or enters the group. False: the group is still rebalancing when the time is over.
    async fn alive(&self, broker: &Broker, turn: &mut Turn, until: Instant) -> Result<bool, ConsumerError> {
        loop {
            if turn.entering.is_none() {
                let (generation, is_stale) = {
                    let mut held = self.held.lock();
                    held.used = monotonic();
                    (held.generation, held.is_stale)
                };
                let counts = |(topic, count): &(std::sync::Arc<str>, Option<u32>)| {
                    broker.readable_named(topic).map(|handle| handle.topic.partitions) != *count
                };
                // The leader sees to it that new partitions and topics are read.
                if generation >= 0 && !is_stale && !turn.counted.iter().any(counts) {
                    match broker.groups().heartbeat(&self.group, &self.id, None, generation) {
                        Ok(()) => return Ok(true),
                        Err(GroupError::Rebalancing | GroupError::IllegalGeneration { .. }) => {}
                        Err(error) => return Err(ConsumerError::of(&self.id, error)),
                    }
                }
                self.enter(broker, turn);
            }
            let Some(entering) = turn.entering.as_mut() else { continue };
            let left = until.saturating_duration_since(monotonic());
            let Ok(entered) = tokio::time::timeout(left, entering).await else { return Ok(false) };
            turn.entering = None;
            match entered.unwrap_or(Err(GroupError::Closed)) {
                Ok(entered) => self.take_over(broker, turn, entered),
                Err(error) => return Err(ConsumerError::of(&self.id, error)),
            }
        }
    }

    fn enter(&self, broker: &Broker, turn: &mut Turn) {
        let mut held = self.held.lock();
        held.is_stale = false;
        let mut owned = Partitions::new();
        for (topic, partition) in held.places.keys() {
            owned.entry(topic.as_str().into()).or_default().insert(*partition);
        }
        let entering = Entering {
            broker: broker.clone(),
            group: self.group.clone(),
            member_id: self.id.clone(),
            options: held.options.clone(),
            owned,
            generation: held.generation,
        };
        let task = tasks::spawn("enter a group", entering.run());
        *self.entering.lock() = Some(task.abort_handle());
        turn.entering = Some(task);
    }

    /// What is assigned now counts. What the member has kept without a break it goes on reading where it is.
    fn take_over(&self, broker: &Broker, turn: &mut Turn, entered: Entered) {
        let mut held = self.held.lock();
        let mut before = std::mem::take(&mut held.places);
        for (topic, list) in entered.assigned {
            let Some(handle) = broker.readable_named(&topic) else { continue };
            for partition in list {
                let at = (handle.name().clone(), partition);
                let kept = before.remove(&at).filter(|p| entered.is_unbroken && p.topic_id == handle.id());
                let new = Place { topic_id: handle.id(), next: None, base: None, is_ahead: false };
                held.places.insert(at, kept.unwrap_or(new));
            }
        }
        held.generation = entered.generation;
        held.used = monotonic();
        turn.counted = entered.counted;
    }
}

impl From<(TopicName, Partition, Offset)> for CommittedOffset {
    fn from((topic, partition, offset): (TopicName, Partition, Offset)) -> Self {
        Self { topic: topic.to_string(), partition, offset, metadata: String::new() }
    }
}

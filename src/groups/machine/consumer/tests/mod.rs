//! The machine under a manual clock, with members that do what clients do.

mod members;
mod random;
mod reconciling;
mod statics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::groups::GroupError;
use crate::groups::machine::{Now, OffsetCommitter, Rules};
use crate::model::{Partition, TopicId, TopicName};

const SESSION: i64 = 45_000;
const REBALANCE: i64 = 60_000;

const RULES: Rules = Rules { initial_delay_ms: 0, new_member_wait_ms: 0, members_max: 5 };

/// A group with its topics and its time.
struct Sim {
    group: Consumer,
    topics: BTreeMap<&'static str, (u128, Partition)>,
    revision: u64,
    tick_ms: i64,
}

impl Sim {
    fn new(topics: &[(&'static str, Partition)]) -> Self {
        let mut sim = Self { group: Consumer::new(RULES), topics: BTreeMap::new(), revision: 1, tick_ms: 0 };
        for (name, partitions) in topics {
            sim.create(name, *partitions);
        }
        sim
    }

    /// Creates a topic, or gives one more partitions.
    fn create(&mut self, name: &'static str, partitions: Partition) {
        let fresh = u128::from(self.revision);
        self.topics.entry(name).or_insert((fresh, 0)).1 = partitions;
        self.revision += 1;
    }

    fn delete(&mut self, name: &str) {
        self.topics.remove(name);
        self.revision += 1;
    }

    fn id(&self, name: &str) -> TopicId {
        TopicId(uuid::Uuid::from_u128(self.topics[name].0))
    }

    fn seen(&self) -> Arc<Topics> {
        let topic = |(name, (_, partitions)): (&&str, &(u128, Partition))| {
            (TopicName::parse(name).unwrap(), self.id(name), *partitions)
        };
        Arc::new(Topics::new(self.revision, self.topics.iter().map(topic)))
    }

    fn now(&self) -> Now {
        Now { tick_ms: self.tick_ms, wall_ms: self.tick_ms }
    }

    fn beat(&mut self, beat: &Heartbeat) -> Result<Beat, GroupError> {
        let (topics, now) = (self.seen(), self.now());
        self.group.handle_heartbeat(beat, "fresh".into(), &topics, now)
    }

    fn advance(&mut self, ms: i64) {
        self.tick_ms += ms;
        self.group.handle_timeout(self.now());
    }

    /// Everything in memory is lost; the time goes on.
    fn restart(&mut self) {
        let snapshot = self.group.snapshot();
        self.group = Consumer::restore(snapshot, RULES, &self.seen(), self.now());
    }

    /// Partitions of a topic.
    fn some(&self, name: &str, partitions: impl IntoIterator<Item = Partition>) -> Assignment {
        partitions.into_iter().map(|partition| (self.id(name), partition)).collect()
    }

    fn member(&self, id: &str) -> &Member {
        &self.group.members[id]
    }

    /// Joins and takes what it gets.
    fn join(&mut self, id: &str) -> Client {
        let mut client = Client::new(id);
        client.beat(self).unwrap();
        client
    }
}

/// A member as its client sees it.
#[derive(Debug, Clone)]
struct Client {
    beat: Heartbeat,
    /// what it works on
    owned: Assignment,
    /// what it has been told to work on
    told: Assignment,
}

impl Client {
    /// One that subscribes to `orders`.
    fn new(id: &str) -> Self {
        Self { beat: joining(id), owned: Assignment::default(), told: Assignment::default() }
    }

    /// Does what it was told, says what it owns, and hears what it is to do next.
    fn beat(&mut self, sim: &mut Sim) -> Result<Beat, GroupError> {
        self.owned = self.told.clone();
        self.beat.owned = Some(self.owned.clone());
        let answer = sim.beat(&self.beat);
        self.hear(&answer);
        answer
    }

    /// Says that it lives, and nothing else.
    fn live(&mut self, sim: &mut Sim) -> Result<Beat, GroupError> {
        let alive = Heartbeat {
            rebalance_timeout_ms: None,
            topics: None,
            pattern: None,
            assignor: None,
            owned: None,
            ..self.beat.clone()
        };
        let answer = sim.beat(&alive);
        self.hear(&answer);
        answer
    }

    fn hear(&mut self, answer: &Result<Beat, GroupError>) {
        match answer {
            Ok(beat) => {
                self.beat.member_id = beat.member_id.clone();
                self.beat.epoch = beat.epoch;
                if let Some(assignment) = &beat.assignment {
                    self.told = assignment.clone();
                    // What it loses it stops at once; what it gets it begins with its next heartbeat.
                    self.owned = self.owned.common(&self.told);
                }
            }
            Err(GroupError::FencedEpoch { .. } | GroupError::UnknownMember { .. }) => self.give_up(),
            Err(_) => {}
        }
    }

    /// It owns nothing and joins again.
    fn give_up(&mut self) {
        self.beat.epoch = JOINS;
        self.owned = Assignment::default();
        self.told = Assignment::default();
    }
}

/// A member that joins and subscribes to `orders`.
fn joining(id: &str) -> Heartbeat {
    Heartbeat {
        member_id: id.into(),
        epoch: JOINS,
        instance_id: None,
        rack_id: None,
        client_id: "app".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: Some(REBALANCE),
        topics: Some(BTreeSet::from(["orders".into()])),
        pattern: None,
        assignor: None,
        owned: Some(Assignment::default()),
    }
}

/// Lets all of them beat until nothing changes.
fn settle(sim: &mut Sim, clients: &mut [&mut Client]) {
    for _ in 0..6 {
        for client in clients.iter_mut() {
            client.beat(sim).unwrap();
        }
    }
    assert_eq!(sim.group.state(), State::Stable);
}

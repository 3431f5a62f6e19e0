//! Heartbeats of members of the consumer protocol.

use std::sync::Arc;

use super::entry::Entry;
use super::saving::Waiting;
use super::{Groups, Inner};
use crate::groups::machine::consumer::{Beat, Heartbeat, JOINS, Topics};
use crate::groups::{GroupError, GroupId};
use crate::model::TopicId;
use crate::model::limits::GROUP_BYTES_MAX;

impl Groups {
    /// A member gives a sign of life, joins or leaves. Waits for the disk if anything has changed by it. Dropping the
    /// future takes nothing back.
    ///
    /// # Errors
    /// `NotFound`, `NotConsumer` (members of the classic protocol are there), `UnknownMember`, `FencedInstance`,
    /// `FencedEpoch`, `UnreleasedInstance`, `Pattern`, `Epoch`, `Full`, `TooMany`, `OutOfRoom`, `EmptyId`, `ReadOnly`,
    /// `Deleting`, `Storage`, `Closed`.
    pub async fn consumer_heartbeat(&self, group: &GroupId, beat: &Heartbeat) -> Result<Beat, GroupError> {
        let inner = self.inner();
        if group.as_str().is_empty() {
            return Err(GroupError::EmptyId);
        }
        inner.check_writable(group)?;
        let entry = match inner.find(group) {
            Some(entry) => entry,
            None if beat.epoch == JOINS => inner.find_or_make(group)?,
            None => return Err(GroupError::NotFound { group: group.clone() }),
        };
        let (answer, stored) = inner.beat(&entry, beat, &inner.topics())?;
        if let Some(stored) = stored {
            stored.await.unwrap_or(Err(GroupError::Closed))?;
        }
        Ok(answer)
    }
}

impl Inner {
    fn beat(
        &self,
        entry: &Arc<Entry>,
        beat: &Heartbeat,
        topics: &Arc<Topics>,
    ) -> Result<(Beat, Option<Waiting>), GroupError> {
        let now = self.now();
        let mut group = entry.group.lock();
        self.check_open()?;
        if beat.topics.is_some() || beat.epoch == JOINS {
            let bytes = bytes_of(beat);
            self.check_room(bytes)?;
            if group.member_bytes().saturating_add(bytes) > GROUP_BYTES_MAX {
                return Err(GroupError::OutOfRoom { limit: GROUP_BYTES_MAX });
            }
        }
        let consumer = group.consumer(&entry.id, beat.epoch == JOINS, self.options.rules)?;
        let fresh_id = Arc::from(uuid::Uuid::new_v4().to_string());
        let answer = consumer.handle_heartbeat(beat, fresh_id, topics, now)?;
        let changes = consumer.changes();
        let stored = group.saving.wait(changes);
        // Nothing follows from other heartbeats but a later deadline, which the timers find when they look.
        if stored.is_some() {
            self.settle(entry, &mut group, now);
        }
        Ok((answer, stored))
    }

    /// Is this still there to be read?
    pub(super) fn has_topic(&self, id: TopicId) -> bool {
        self.storage.has_topic(id) || self.others.get().is_some_and(|others| others.has_topic(id))
    }

    /// The topics as they are now, for machines.
    pub(super) fn topics(&self) -> Arc<Topics> {
        // Asked before the topics are: what changes in between is seen the next time.
        let others = self.others.get();
        let revision = self.storage.topics_revision() + others.map_or(0, |others| others.revision());
        let mut topics = self.topics.lock();
        if topics.revision() != revision {
            let all = self.storage.topics().into_iter().map(|topic| (topic.name, topic.id, topic.partitions));
            let others = others.map(|others| others.topics()).unwrap_or_default();
            *topics = Arc::new(Topics::new(revision, all.chain(others)));
        }
        topics.clone()
    }
}

/// Bytes of what a member says of itself.
fn bytes_of(beat: &Heartbeat) -> usize {
    let names = beat.member_id.len() + beat.client_id.len() + beat.client_host.len();
    let text = |text: &Option<Arc<str>>| text.as_deref().map_or(0, str::len);
    let topics = beat.topics.iter().flatten().map(|topic| topic.len() + 48).sum::<usize>();
    names + text(&beat.instance_id) + text(&beat.rack_id) + text(&beat.pattern) + topics
}

//! Groups as they were stored.

use std::collections::HashSet;
use std::sync::Arc;

use super::Inner;
use super::entry::{Entry, Group, Machine};
use crate::groups::GroupId;
use crate::groups::machine::Classic;
use crate::groups::machine::consumer::Consumer;
use crate::groups::rows::{self, GroupRow};
use crate::model::deployment::DeploymentKind;
use crate::model::{Partition, TopicName};
use crate::storage::{Commit, ReadError, tables};

/// Offsets of topics that are not there any more: a server stopped between the deletion of a topic and that of its offsets.
/// They are not loaded, and their rows are to be deleted.
#[derive(Default)]
pub(super) struct Lost {
    pub(super) commit: Commit,
    pub(super) count: usize,
    topics: HashSet<TopicName>,
}

impl Inner {
    /// Reads all rows. Blocking; nobody else uses the groups yet.
    pub(super) fn load(&self) -> Result<Lost, ReadError> {
        let (storage, rules, topics) = (&self.storage, self.options.rules, self.topics());
        for (id, row) in tables::group_rows::load_all(storage)? {
            let machine = match rows::decode_group(&row).map_err(|e| damaged("group", &id, &e))? {
                GroupRow::Classic(snapshot) => {
                    Machine::Classic(Box::new(Classic::restore(snapshot, rules, self.now())))
                }
                GroupRow::Consumer(snapshot) => {
                    Machine::Consumer(Box::new(Consumer::restore(snapshot, rules, &topics, self.now())))
                }
            };
            let id = GroupId::new(id);
            let entry = Entry::new(id.clone(), Group::of(machine));
            self.groups.write().insert(id, Arc::new(entry));
        }
        // Views are not in use yet, and are topics for those who read them.
        let views = tables::deployments::load_all(storage)?.into_iter().map(|deployment| deployment.spec);
        let views = views.filter(|spec| spec.kind == DeploymentKind::View);
        let mut topics: HashSet<TopicName> = storage.topics().into_iter().map(|topic| topic.name).collect();
        // A source that is gone has taken with it what was committed of its views.
        let views = views.filter(|spec| spec.input.topics.iter().all(|source| topics.contains(source)));
        let views: Vec<_> = views.filter_map(|spec| TopicName::parse(spec.name.as_str()).ok()).collect();
        topics.extend(views);
        let mut lost = Lost { topics, ..Lost::default() };
        let mut read = Ok(());
        tables::offsets::each(storage, |group, topic, partition, row| {
            if read.is_ok() {
                read = self.load_offset(&mut lost, group, topic, partition, row);
            }
        })?;
        read?;
        let mut read = Ok(());
        tables::pending_offsets::each(storage, |producer_id, group, topic, partition, row| {
            if read.is_ok() {
                read = self.load_pending(&mut lost, producer_id, group, (topic, partition), row);
            }
        })?;
        read?;
        for entry in self.entries() {
            self.happen(&entry, |_, _| ());
        }
        Ok(lost)
    }

    fn load_offset(
        &self,
        lost: &mut Lost,
        group: &str,
        topic: &str,
        partition: Partition,
        row: &[u8],
    ) -> Result<(), ReadError> {
        let Some(name) = lost.topics.get(topic).cloned() else {
            lost.count += 1;
            tables::offsets::delete(&mut lost.commit, group, topic, partition);
            return Ok(());
        };
        let committed = rows::decode_offset(row).map_err(|e| damaged("offset", group, &e))?;
        self.make(&GroupId::new(group)).group.lock().offsets.put(name, partition, committed);
        Ok(())
    }

    fn load_pending(
        &self,
        lost: &mut Lost,
        producer_id: i64,
        group: &str,
        (topic, partition): (&str, Partition),
        row: &[u8],
    ) -> Result<(), ReadError> {
        let Some(name) = lost.topics.get(topic).cloned() else {
            lost.count += 1;
            tables::pending_offsets::delete(&mut lost.commit, producer_id, group, topic, partition);
            return Ok(());
        };
        let pending = rows::decode_pending(row).map_err(|e| damaged("pending offset", group, &e))?;
        let id = GroupId::new(group);
        self.make(&id).group.lock().offsets.put_pending(producer_id, (name, partition), pending);
        self.producers.lock().entry(producer_id).or_default().insert(id);
        Ok(())
    }
}

fn damaged(what: &str, group: &str, cause: &dyn std::error::Error) -> ReadError {
    ReadError::Damaged(format!("{what} row of group `{group}`: {cause}"))
}

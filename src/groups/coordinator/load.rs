//! Groups as they were stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Inner;
use super::entry::{Entry, Group, Machine};
use crate::groups::machine::Classic;
use crate::groups::{GroupId, rows};
use crate::model::{Partition, TopicName};
use crate::storage::{ReadError, Storage, tables};

impl Inner {
    /// Reads all rows. Blocking; nobody else uses the groups yet.
    pub(super) fn load(&self, storage: &Storage) -> Result<(), ReadError> {
        for (id, row) in tables::group_rows::load_all(storage)? {
            let snapshot = rows::decode_group(&row).map_err(|e| damaged("group", &id, &e))?;
            let classic = Classic::restore(snapshot, self.options.rules, self.now());
            let id = GroupId::new(id);
            let entry = Entry::new(id.clone(), Group::of(Machine::Classic(Box::new(classic))));
            self.groups.write().insert(id, Arc::new(entry));
        }
        self.load_offsets(storage)?;
        self.load_pending(storage)?;
        for entry in self.entries() {
            self.happen(&entry, |_, _| ());
        }
        Ok(())
    }

    fn load_offsets(&self, storage: &Storage) -> Result<(), ReadError> {
        let mut failed = Ok(());
        tables::offsets::each(storage, |group, topic, partition, row| {
            if failed.is_ok() {
                failed = self.load_offset(group, topic, partition, row);
            }
        })?;
        failed
    }

    fn load_offset(
        &self,
        group: &str,
        topic: &str,
        partition: Partition,
        row: &[u8],
    ) -> Result<(), ReadError> {
        let committed = rows::decode_offset(row).map_err(|e| damaged("offset", group, &e))?;
        let topic = TopicName::parse(topic).map_err(|e| damaged("offset", group, &e))?;
        self.make(&GroupId::new(group)).group.lock().offsets.put(topic, partition, committed);
        Ok(())
    }

    fn load_pending(&self, storage: &Storage) -> Result<(), ReadError> {
        let mut failed = Ok(());
        tables::pending_offsets::each(storage, |producer_id, group, topic, partition, row| {
            if failed.is_ok() {
                failed = self.load_pending_offset(producer_id, group, topic, partition, row);
            }
        })?;
        failed
    }

    fn load_pending_offset(
        &self,
        producer_id: i64,
        group: &str,
        topic: &str,
        partition: Partition,
        row: &[u8],
    ) -> Result<(), ReadError> {
        let pending = rows::decode_pending(row).map_err(|e| damaged("pending offset", group, &e))?;
        let topic = TopicName::parse(topic).map_err(|e| damaged("pending offset", group, &e))?;
        let id = GroupId::new(group);
        self.make(&id).group.lock().offsets.put_pending(producer_id, (topic, partition), pending);
        self.producers.lock().entry(producer_id).or_insert_with(BTreeSet::new).insert(id);
        Ok(())
    }
}

fn damaged(what: &str, group: &str, cause: &dyn std::error::Error) -> ReadError {
    ReadError::Damaged(format!("{what} row of group `{group}`: {cause}"))
}

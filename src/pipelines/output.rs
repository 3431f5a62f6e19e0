//! From a batch's outputs and dead letters to appends: one batch per topic partition, records in the order emitted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::broker::output::fill;
use crate::broker::{Broker, TopicHandle};
use crate::model::batch::{BatchBuilder, HEADER_LEN};
use crate::model::deployment::DeploymentSpec;
use crate::model::partitioner::partition_of;
use crate::model::{Partition, Record, TopicName};
use crate::storage::Commit;
use crate::wasm::{Fault, Input, Output};

/// Why a record cannot be put.
pub(super) enum PushError {
    /// its topic is not there: nobody's record is to blame
    Gone(String),
    /// larger than its topic allows
    TooLarge(String),
}

/// Why outputs cannot be put.
pub(super) enum CollectError {
    /// a topic is not there
    Gone(String),
    /// the code's doing
    Fault(Fault),
}

/// Batches under construction, by topic and partition.
#[derive(Default)]
pub(super) struct Outputs {
    topics: BTreeMap<TopicName, Arc<TopicHandle>>,
    builders: BTreeMap<(TopicName, Partition), Vec<BatchBuilder>>,
    pub(super) count: u64,
}

impl Outputs {
    /// Turns what the code emitted into records for the declared topics.
    ///
    /// # Errors
    /// `Protocol` when an output has nowhere to go, `Limit` when it is larger than its topic allows; the fault carries
    /// the input it came from where the output says so.
    pub(super) fn collect(
        &mut self,
        broker: &Broker,
        spec: &DeploymentSpec,
        inputs: &[Input<'_>],
        outputs: Vec<Output>,
    ) -> Result<(), CollectError> {
        let last = inputs.last().map_or(0, |i| i.record.timestamp);
        let partition = inputs.first().map_or(0, |i| i.partition);
        for output in outputs {
            let source = output.source.and_then(|i| inputs.get(i as usize));
            let topic = match output.route {
                None => spec.output.default.as_ref(),
                Some(route) => spec.output.routes.values().nth(route as usize),
            };
            let Some(topic) = topic else {
                return Err(CollectError::Fault(Fault::Protocol(
                    "an output names no route, and the deployment has no `output.default`".to_owned(),
                )));
            };
            let index = output.source;
            let record = fill(output, source.map(owned).as_ref(), last);
            self.push(broker, topic, partition, &record).map_err(|error| match (error, index) {
                (PushError::Gone(reason), _) => CollectError::Gone(reason),
                (PushError::TooLarge(reason), Some(index)) => {
                    CollectError::Fault(Fault::At { index, reason })
                }
                (PushError::TooLarge(reason), None) => CollectError::Fault(Fault::Fatal(reason)),
            })?;
        }
        Ok(())
    }

    /// Adds a record to its topic, by its key or on the partition of its source's number.
    pub(super) fn push(
        &mut self,
        broker: &Broker,
        topic: &TopicName,
        fallback: Partition,
        record: &Record,
    ) -> Result<(), PushError> {
        let handle = match self.topics.entry(topic.clone()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                let handle = broker.topic(topic.as_str()).map_err(|e| PushError::Gone(e.to_string()))?;
                new.insert(handle).clone()
            }
        };
        let limit = handle.topic.config.message_bytes_max();
        // 40 bytes bound the framing of a record: lengths, deltas, counts.
        let size = record.size() + 40;
        if size + HEADER_LEN > limit {
            return Err(PushError::TooLarge(format!(
                "an output of {} bytes, topic `{topic}` allows {limit} (max.message.bytes)",
                record.size()
            )));
        }
        let partitions = handle.topic.partitions;
        let partition = match &record.key {
            Some(key) => partition_of(key, partitions),
            None => fallback % partitions.max(1),
        };
        let builders = self.builders.entry((topic.clone(), partition)).or_default();
        match builders.last_mut() {
            Some(open) if open.size() + size <= limit => open.push_record(record),
            _ => {
                let mut open = BatchBuilder::new();
                open.push_record(record);
                builders.push(open);
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Appends everything to the commit.
    pub(super) fn write_into(self, commit: &mut Commit) {
        for ((topic, partition), builders) in self.builders {
            let Some(handle) = self.topics.get(&topic) else { continue };
            let Some(log) = handle.log(partition) else { continue };
            for builder in builders {
                if let Some(batch) = builder.finish(handle.topic.config.codec()) {
                    commit.append(log, batch);
                }
            }
        }
    }
}

/// A copy of an input's record.
pub(super) fn owned(input: &Input<'_>) -> Record {
    input.record.to_owned_in(&bytes::Bytes::new())
}

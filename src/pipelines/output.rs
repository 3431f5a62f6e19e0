//! From a call's outputs to appends: each to the topic that it names, in the order emitted.

use crate::broker::outbox::{Outbox, OutboxError};
use crate::broker::{Broker, output};
use crate::model::deployment::DeploymentSpec;
use crate::model::{Partition, Record, TimestampMs};
use crate::wasm::{Fault, Input, Output};

/// Why outputs cannot be put.
pub(super) enum CollectError {
    /// a topic is not there
    Gone(String),
    /// the code's doing
    Fault(Fault),
}

/// What an output gets that says nothing of it, and comes from no input.
#[derive(Clone, Copy)]
pub(super) struct Defaults {
    /// of a record without a key
    pub(super) partition: Partition,
    pub(super) timestamp: TimestampMs,
}

/// Turns what the code emitted into records for the declared topics.
///
/// # Errors
/// `Protocol` when an output has nowhere to go, `Fatal` or `At` when its topic does not take it (its size, or a missing
/// key under compaction); the fault carries the input it came from where the output says so.
pub(super) fn collect_with(
    broker: &Broker,
    spec: &DeploymentSpec,
    inputs: &[Input<'_>],
    outputs: &[Output],
    defaults: Defaults,
) -> Result<Outbox, CollectError> {
    let mut outbox = Outbox::default();
    let routes = spec.route_topics();
    for output in outputs {
        let topic = match output.route {
            None => spec.output.default.as_ref(),
            Some(route) => routes.get(route as usize),
        };
        let Some(topic) = topic else {
            return Err(CollectError::Fault(Fault::no_output()));
        };
        let source = output.source.and_then(|i| inputs.get(i as usize)).map(|input| input.record);
        let record = output::view(output, source.as_ref(), defaults.timestamp);
        outbox.push(broker, topic, defaults.partition, &record).map_err(|error| {
            match (&error, output.source) {
                (OutboxError::Gone { .. }, _) => CollectError::Gone(error.to_string()),
                (OutboxError::TooLarge { .. } | OutboxError::KeyMissing { .. }, Some(index)) => {
                    CollectError::Fault(Fault::At { index, reason: error.to_string() })
                }
                (OutboxError::TooLarge { .. } | OutboxError::KeyMissing { .. }, None) => {
                    CollectError::Fault(Fault::Fatal(error.to_string()))
                }
            }
        })?;
    }
    Ok(outbox)
}

/// A copy of an input's record.
pub(super) fn owned(input: &Input<'_>) -> Record {
    input.record.to_owned_in(&bytes::Bytes::new())
}

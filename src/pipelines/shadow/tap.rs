//! The shadow of an inline transform: copies of the batches that go through the live one, and its verdicts, taken off the
//! produce path through a bounded queue. What does not fit is counted, never waited for.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Shadow;
use super::task::Side;
use crate::broker::inline::{Stage, Tap};
use crate::model::deployment::DeploymentSpec;
use crate::model::{Partition, TopicName};
use crate::pipelines::dry_run::{Instance, Report, Sample, Verdict, judged};
use crate::runtime::clock::Clock;
use crate::wasm::{Fault, Input, Outcome};

/// Batches that wait, and KiB of them.
const QUEUE_BATCHES: usize = 256;
const QUEUE_KIB: usize = 16 << 10;
/// Instances that are kept, one for each partition.
const INSTANCES_KEPT: usize = 64;

/// A batch as the live transform judged it.
pub(super) struct Heard {
    partition: Partition,
    samples: Vec<Sample>,
    outcomes: Result<Vec<Outcome>, Fault>,
    _room: OwnedSemaphorePermit,
}

/// Listens at a stage.
pub(super) struct InlineTap {
    shadow: Arc<Shadow>,
    queue: mpsc::Sender<Heard>,
    room: Arc<Semaphore>,
}

impl InlineTap {
    pub(super) fn new(shadow: Arc<Shadow>) -> (Self, mpsc::Receiver<Heard>) {
        let (queue, heard) = mpsc::channel(QUEUE_BATCHES);
        (Self { shadow, queue, room: Arc::new(Semaphore::new(QUEUE_KIB)) }, heard)
    }
}

impl Tap for InlineTap {
    fn heard(&self, partition: Partition, inputs: &[Input<'_>], outcomes: Result<&[Outcome], &Fault>) {
        let made = outcomes.map_or(0, |outcomes| outcomes.iter().map(Outcome::size).sum());
        let kib = inputs.iter().map(Input::size).sum::<usize>().saturating_add(made) / 1024 + 1;
        let room = u32::try_from(kib).ok().and_then(|n| self.room.clone().try_acquire_many_owned(n).ok());
        let (Ok(place), Some(room)) = (self.queue.try_reserve(), room) else {
            return self.shadow.board.not_compared(inputs.len() as u64);
        };
        let sample = |input: &Input<'_>| Sample {
            topic: input.topic,
            partition: input.partition,
            offset: input.offset,
            record: input.record.to_owned_in(&bytes::Bytes::new()),
        };
        place.send(Heard {
            partition,
            samples: inputs.iter().map(sample).collect(),
            outcomes: outcomes.map(<[Outcome]>::to_vec).map_err(Fault::clone),
            _room: room,
        });
    }
}

/// Runs the candidate over what is heard until the shadow run ends.
pub(super) async fn work(
    shadow: Arc<Shadow>,
    (stage, tap): (Arc<Stage>, Arc<dyn Tap>),
    spec: DeploymentSpec,
    mut candidate: Side,
    mut heard: mpsc::Receiver<Heard>,
    clock: Clock,
) {
    let topic = spec.input.topics.first().cloned();
    let compare_all = async {
        let mut kept: HashMap<Partition, Instance> = HashMap::new();
        while let Some(batch) = heard.recv().await {
            candidate.live = kept.remove(&batch.partition);
            let partition = batch.partition;
            let reason = compare(&shadow, topic.as_ref(), &spec, &mut candidate, batch).await;
            if let Some(reason) = reason {
                return reason;
            }
            if shadow.is_done() {
                return super::ALL_RECORDS.to_owned();
            }
            if kept.len() >= INSTANCES_KEPT {
                kept.clear();
            }
            kept.extend(candidate.live.take().map(|live| (partition, live)));
        }
        "the transform is gone".to_owned()
    };
    if let Some(reason) = shadow.until_ended(compare_all).await {
        shadow.end(reason, clock.now_ms());
    }
    stage.clear_tap(&tap);
}

async fn compare(
    shadow: &Shadow,
    topic: Option<&TopicName>,
    spec: &DeploymentSpec,
    candidate: &mut Side,
    heard: Heard,
) -> Option<String> {
    let room = shadow.take_room(heard.samples.len());
    let samples = &heard.samples[..room];
    let found = candidate.go_on(samples).await;
    if let Some(failed) = &found.failed {
        return Some(format!("the candidate cannot be run: {}", failed.fault));
    }
    let mut expected = Report::default();
    match heard.outcomes {
        Ok(outcomes) => {
            for (index, outcome) in outcomes.into_iter().enumerate().take(room) {
                let whole = 0..heard.samples.len();
                let verdict = judged(spec, outcome, &heard.samples, index, &whole, &mut expected.entries);
                expected.verdicts.push(Some(verdict));
            }
        }
        // The live one fails as a whole batch: then the same is expected of each of its records that fails alone.
        Err(fault) => {
            let failing = |verdict: &Option<Verdict>| match verdict {
                Some(Verdict::Fault(other)) => other.code() == fault.code(),
                _ => false,
            };
            if found.verdicts.iter().any(failing) {
                shadow.board.0.lock().equal += samples.len() as u64;
                return None;
            }
            expected.verdicts = vec![Some(Verdict::Fault(fault)); samples.len()];
        }
    }
    if let Some(topic) = topic {
        shadow.board.compare(topic, samples, expected, found);
    }
    None
}

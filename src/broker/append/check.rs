//! A client's batch against the rules of its topic: everything that does not depend on what was stored before it.
//! Batches that take long are checked on the blocking threads, a few at a time, for they may grow a hundredfold when they
//! are uncompressed.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::super::admission::Permit;
use super::super::{Broker, TopicHandle};
use super::error::{AppendError, RecordError};
use super::of_admission;
use crate::model::batch::validate::{self, Checked, Rules, Timestamps};
use crate::model::batch::{Codec, HEADER_LEN, Payload, RecordBatch};
use crate::model::limits::{BATCH_UNCOMPRESSED_MAX, KIB, MIB};
use crate::model::topic::TimestampType;
use crate::model::{Partition, TimestampMs};
use crate::runtime::tasks;
use crate::storage::Log;

/// A plain batch of this size is read through in less than 0.2 ms (a guess to be measured); longer ones would hold up the
/// connections that share the thread.
const PLAIN_AT_ONCE: usize = 256 * KIB;
/// The same for a compressed one: 2 KiB of zeros in zstd or gzip may be some MiB, which take a few ms to unpack (a guess).
const PACKED_AT_ONCE: usize = 2 * KIB;

/// Bytes of records to a byte sent that no bomb is suspected behind: logs and JSON in zstd are 5 to 12 times larger inside
/// (seen; the rest is room).
const EXPANDS_USUALLY: usize = 16;
/// So much is allowed however small the batch is: the default of the largest batch of librdkafka, counted before it is
/// compressed, is a fourth of this.
const EXPANDS_ALWAYS: usize = 4 * MIB;

/// A batch that may be stored, as far as it alone can tell.
pub(super) struct Candidate {
    pub(super) log: Arc<Log>,
    pub(super) batch: RecordBatch,
    /// its records uncompressed, if the topic has transforms, and the room for them
    pub(super) payload: Option<Payload>,
    pub(super) room: Option<Arc<Permit>>,
    /// set where the topic stamps its records
    pub(super) append_time: Option<TimestampMs>,
}

impl Broker {
    /// Checks a batch for a partition.
    pub(super) async fn check_batch(
        &self,
        topic: &TopicHandle,
        partition: Partition,
        batch: Bytes,
        now_ms: TimestampMs,
    ) -> Result<Candidate, AppendError> {
        let log = topic.log(partition).ok_or_else(|| AppendError::UnknownPartition {
            topic: topic.name().clone(),
            partition,
            partitions: topic.topic.partitions,
        })?;
        let (rules, codec) = (rules_of(topic, now_ms), topic.topic.config.client_codec());
        let checked = match quick(&batch, &rules, codec) {
            Some(checked) => {
                drop(batch);
                checked
            }
            None => self.check_apart(batch, rules, codec).await?,
        };
        let Checked { batch, payload, .. } = checked.map_err(|refusal| of_refusal(refusal, topic))?;
        let append_time = batch.header().log_append_time.then_some(now_ms);
        let payload = topic.chain().is_some().then_some(payload);
        let batch = if payload.is_none() { own(batch) } else { batch };
        // Until its turn has come and the transforms are done, the batch takes the room of its uncompressed records.
        let unpacked = payload.as_ref().filter(|_| batch.header().codec != Codec::None);
        let room = match unpacked {
            Some(payload) => {
                let permit = self.0.admission.admit(payload.bytes().len()).map_err(|e| of_admission(&e))?;
                Some(Arc::new(permit))
            }
            None => None,
        };
        Ok(Candidate { log: log.clone(), batch, payload, room, append_time })
    }

    /// The check beside the network's threads. What becomes far larger than it was sent is begun anew, one such batch at a
    /// time.
    async fn check_apart(
        &self,
        batch: Bytes,
        rules: Rules,
        codec: Option<Codec>,
    ) -> Result<Result<Checked, validate::Refusal>, AppendError> {
        let usual = batch.len().saturating_mul(EXPANDS_USUALLY).max(EXPANDS_ALWAYS);
        let bounded = Rules { uncompressed_max: usual.min(rules.uncompressed_max), ..rules };
        let checked = on_blocking(&self.0.heavy, batch.clone(), bounded, codec).await?;
        if matches!(checked, Err(validate::Refusal::Expands { .. }))
            && bounded.uncompressed_max < rules.uncompressed_max
        {
            return on_blocking(&self.0.bombs, batch, rules, codec).await;
        }
        Ok(checked)
    }
}

/// The check on a blocking thread, once `places` has one for it.
async fn on_blocking(
    places: &Arc<Semaphore>,
    batch: Bytes,
    rules: Rules,
    codec: Option<Codec>,
) -> Result<Result<Checked, validate::Refusal>, AppendError> {
    let permit = places.clone().acquire_owned().await.map_err(|_| AppendError::Closed)?;
    let work = tasks::spawn_blocking("check a batch", move || {
        let checked = check(batch, &rules, codec);
        drop(permit);
        checked
    });
    work.await.map_err(|e| AppendError::Unknown(format!("the check of a batch ended: {e}")))
}

/// A batch that shares its bytes with others, as those of one request do, in bytes of its own: the writer, which all topics
/// have in common, would have to copy it to give it its offsets.
fn own(batch: RecordBatch) -> RecordBatch {
    if batch.bytes().is_unique() {
        return batch;
    }
    let bytes = Bytes::copy_from_slice(batch.bytes());
    RecordBatch::trusted(bytes).unwrap_or(batch)
}

/// What a topic asks of its clients' batches now.
pub(in crate::broker) fn rules_of(topic: &TopicHandle, now_ms: TimestampMs) -> Rules {
    let config = &topic.topic.config;
    let bounds = config.timestamp_bounds();
    Rules {
        size_max: config.message_bytes_max(),
        uncompressed_max: BATCH_UNCOMPRESSED_MAX,
        key_required: config.cleanup().compact,
        timestamps: match config.timestamp_type() {
            TimestampType::CreateTime => {
                let (before, after) = (bounds.before_ms, bounds.after_ms);
                Timestamps::create(now_ms, before.unwrap_or(u64::MAX), after.unwrap_or(u64::MAX))
            }
            TimestampType::LogAppendTime => Timestamps::Append { now: now_ms },
        },
    }
}

fn check(batch: Bytes, rules: &Rules, codec: Option<Codec>) -> Result<Checked, validate::Refusal> {
    let mut checked = validate::validate(batch, rules)?;
    if let Some(codec) = codec {
        let unreadable = |_| validate::Refusal::Invalid("records that cannot be compressed again");
        checked.batch = checked.batch.with_codec(codec, rules.uncompressed_max).map_err(unreadable)?;
    }
    Ok(checked)
}

/// The check, if it is done in no time. `codec`: the one that the topic stores, if it says so.
pub(super) fn quick(
    batch: &Bytes,
    rules: &Rules,
    codec: Option<Codec>,
) -> Option<Result<Checked, validate::Refusal>> {
    // The low three bits of the attributes; what is shorter than a header is refused at once.
    let sent = batch.get(22).map_or(0, |attributes| i16::from(attributes & 0b111));
    let is_packed = sent != 0 || codec.is_some_and(|codec| codec != Codec::None);
    if batch.len() > HEADER_LEN + if is_packed { PACKED_AT_ONCE } else { PLAIN_AT_ONCE } {
        return None;
    }
    // What grows past this while it is uncompressed is begun anew elsewhere.
    let bound = PLAIN_AT_ONCE.min(rules.uncompressed_max);
    let checked = check(batch.clone(), &Rules { uncompressed_max: bound, ..*rules }, codec);
    let is_larger =
        matches!(checked, Err(validate::Refusal::Expands { .. })) && bound < rules.uncompressed_max;
    (!is_larger).then_some(checked)
}

pub(super) fn of_refusal(refusal: validate::Refusal, topic: &TopicHandle) -> AppendError {
    let invalid = |message: String| AppendError::Invalid { message, records: Vec::new() };
    match refusal {
        validate::Refusal::Damaged(error) => AppendError::Corrupt(error),
        validate::Refusal::Large { found, limit } => {
            AppendError::TooLarge { topic: topic.name().clone(), found, limit }
        }
        expands @ validate::Refusal::Expands { .. } => invalid(expands.to_string()),
        validate::Refusal::Codec(codec) => AppendError::Codec(codec),
        validate::Refusal::Invalid(what) => invalid(what.to_owned()),
        validate::Refusal::Records { ref errors, timestamp, .. } => {
            let records =
                errors.iter().map(|e| RecordError { index: e.index, message: e.fault.to_string() }).collect();
            if timestamp {
                AppendError::Timestamp { records }
            } else {
                AppendError::Invalid { message: refusal.to_string(), records }
            }
        }
    }
}

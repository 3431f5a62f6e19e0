//! `Produce` (0): record batches of clients, appended.
//!
//! Versions: 3-13; 0-2 are advertised, as Kafka does for old librdkafka, and answered with UNSUPPORTED_VERSION: their
//! records have a format that is gone.
//!
//! Behaviour: the batches of a request take their places in line before the next request of the connection is begun, so
//! the order of requests is the order of records. One batch a partition, stored as it came. `acks` 1 and -1 are the same:
//! the answer leaves when the topic's `durability` is met. `acks` 0 has no answer; what fails ends the connection. The
//! time-out is not looked at: there are no replicas to wait for. Topics are not created here.
//!
//! What each version added: 3 batches in format 2, transactions (KIP-98); 5 the log start; 7 zstd (KIP-110); 8 errors of
//! single records (KIP-467); 9 is flexible; 10 new leaders (KIP-951); 11 TRANSACTION_ABORTABLE (KIP-890); 12 adds
//! partitions to transactions (KIP-890); 13 topic ids (KIP-516).

use std::sync::Arc;

use bytes::Bytes;

use crate::broker::TopicHandle;
use crate::broker::append::{AppendEntry, AppendError, AppendRequest, Appended, TransactionOf};
use crate::broker::transactions::TransactionError;
use crate::kafka::budget::Share;
use crate::kafka::connection::Close;
use crate::kafka::dispatch::Reply;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use crate::model::TopicId;
use crate::model::batch::{BatchHeader, Codec};
use crate::telemetry::chain;

/// Batches in format 2.
const FORMAT_2_FROM: i16 = 3;
const ZSTD_FROM: i16 = 7;
/// A client of this version knows that it has to abort.
const ABORTABLE_FROM: i16 = 11;
/// From here on partitions join their transaction by being written to.
const JOINS_FROM: i16 = 12;
const IDS_FROM: i16 = 13;
/// Where a batch would have gone.
const NOWHERE: i64 = -1;

/// The answer in the making, and which of its partitions the appended batches belong to.
struct Plan {
    responses: Vec<TopicProduceResponse>,
    entries: Vec<AppendEntry>,
    /// topic and partition in `responses`, one per entry
    places: Vec<(usize, usize)>,
}

/// Begins to append; places in line are taken when this returns.
pub(in crate::kafka) fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: ProduceRequest,
    mut share: Share,
) -> impl Future<Output = Result<Reply<ProduceResponse>, Close>> + Send + 'static + use<> {
    let ProduceRequest { transactional_id, acks, topic_data, .. } = request;
    let plan = Plan::of(door, ctx.version, acks, topic_data);
    let Plan { mut responses, entries, places } = plan;
    let version = ctx.version;
    let joins = version >= JOINS_FROM;
    let transaction = transactional_id.map(|id| TransactionOf { id: id.into(), joins });
    let permit = share.take_units();
    let appending = door.broker().append(AppendRequest { entries, transaction, permit });
    async move {
        let results = appending.await.results;
        drop(share);
        for ((topic, partition), result) in places.into_iter().zip(results) {
            let slot = responses.get_mut(topic).and_then(|t| t.partition_responses.get_mut(partition));
            if let Some(slot) = slot {
                fill(slot, &result, version);
            }
        }
        if acks == 0 {
            return silent(&responses);
        }
        Ok(Reply::of(ProduceResponse { responses, ..ProduceResponse::default() }))
    }
}

/// A client that wants no answer learns of an error only by the end of its connection.
fn silent(responses: &[TopicProduceResponse]) -> Result<Reply<ProduceResponse>, Close> {
    let partitions = responses.iter().flat_map(|t| t.partition_responses.iter().map(move |p| (t, p)));
    match partitions.into_iter().find(|(_, partition)| partition.error_code != ErrorCode::None.code()) {
        None => Ok(Reply::none()),
        Some((topic, partition)) => Err(Close(format!(
            "a Produce with acks=0 failed for partition {} of topic `{}`: {}",
            partition.index,
            topic.name,
            partition.error_message.as_deref().unwrap_or_default()
        ))),
    }
}

// === impl Plan ===

impl Plan {
    fn of(door: &Door, version: i16, acks: i16, topics: Vec<TopicProduceData>) -> Self {
        let mut plan =
            Self { responses: Vec::with_capacity(topics.len()), entries: Vec::new(), places: Vec::new() };
        for topic in topics {
            let found = if (-1..=1).contains(&acks) {
                find(door, version, &topic)
            } else {
                Err((ErrorCode::InvalidRequiredAcks, "acks is neither 0, 1 nor -1"))
            };
            let place = plan.responses.len();
            plan.responses.push(TopicProduceResponse {
                // A copy, or the answer would share the frame with the records.
                name: Str::from(topic.name.as_str()),
                topic_id: topic.topic_id,
                partition_responses: Vec::with_capacity(topic.partition_data.len()),
            });
            for data in topic.partition_data {
                plan.add(place, version, data, found.as_ref());
            }
        }
        plan
    }

    fn add(
        &mut self,
        place: usize,
        version: i16,
        data: PartitionProduceData,
        found: Result<&Arc<TopicHandle>, &(ErrorCode, &'static str)>,
    ) {
        let PartitionProduceData { index, records } = data;
        let responses = &mut self.responses[place].partition_responses;
        let mut response = PartitionProduceResponse { index, base_offset: NOWHERE, ..Default::default() };
        let entry = found.map_err(|&refusal| refusal).and_then(|topic| {
            let (partition, batch) = checked(version, index, records)?;
            Ok(AppendEntry { topic: topic.clone(), partition, batch })
        });
        match entry {
            Ok(entry) => {
                self.entries.push(entry);
                self.places.push((place, responses.len()));
            }
            Err((code, message)) => {
                response.error_code = code.code();
                response.error_message = Some(Str::from_static(message));
            }
        }
        responses.push(response);
    }
}

fn find(
    door: &Door,
    version: i16,
    topic: &TopicProduceData,
) -> Result<Arc<TopicHandle>, (ErrorCode, &'static str)> {
    if version < FORMAT_2_FROM {
        return Err((ErrorCode::UnsupportedVersion, "record formats 0 and 1 are gone"));
    }
    let found = if version >= IDS_FROM {
        let id = TopicId(topic.topic_id);
        door.broker().readable_by_id(id).ok_or((ErrorCode::UnknownTopicId, "no topic has this id"))?
    } else {
        let unknown = (ErrorCode::UnknownTopicOrPartition, "the topic does not exist");
        door.broker().readable_named(&topic.name).ok_or(unknown)?
    };
    if found.name().is_internal() {
        return Err((ErrorCode::InvalidTopic, "the topic is internal: only the server writes to it"));
    }
    if found.view().is_some() {
        return Err((ErrorCode::InvalidTopic, "the topic is a view: produce to the topic that it shows"));
    }
    Ok(found)
}

/// What depends on the version of the request; the batch itself is checked where it is appended.
fn checked(
    version: i16,
    index: i32,
    records: Option<Bytes>,
) -> Result<(u32, Bytes), (ErrorCode, &'static str)> {
    let unknown = |_| (ErrorCode::UnknownTopicOrPartition, "partitions have no negative numbers");
    let partition = u32::try_from(index).map_err(unknown)?;
    let batch = records.ok_or((ErrorCode::InvalidRecord, "there is no batch for the partition"))?;
    let is_zstd = BatchHeader::read(&batch).is_ok_and(|header| header.codec == Codec::Zstd);
    if is_zstd && version < ZSTD_FROM {
        return Err((ErrorCode::UnsupportedCompressionType, "zstd needs version 7 of Produce"));
    }
    Ok((partition, batch))
}

fn fill(response: &mut PartitionProduceResponse, result: &Result<Appended, AppendError>, version: i16) {
    match result {
        Ok(appended) => {
            response.base_offset = appended.base_offset.map_or(NOWHERE, wire_offset);
            response.log_append_time_ms = appended.append_time.unwrap_or(-1);
            response.log_start_offset = wire_offset(appended.log_start_offset);
        }
        Err(error) => {
            response.error_code = code(error, version).code();
            response.error_message = Some(Str::from(chain(error)));
            response.record_errors = record_errors(error);
        }
    }
}

fn code(error: &AppendError, version: i16) -> ErrorCode {
    match (error, ErrorCode::from(error)) {
        (AppendError::Transaction(TransactionError::NotAdded { .. }), _) if version >= ABORTABLE_FROM => {
            ErrorCode::TransactionAbortable
        }
        // Older clients give up upon CONCURRENT_TRANSACTIONS here, and try this again.
        (AppendError::Transaction(TransactionError::Concurrent), _) if version < JOINS_FROM => {
            ErrorCode::NotEnoughReplicas
        }
        (AppendError::TopicGone(_), _) if version >= IDS_FROM => ErrorCode::UnknownTopicId,
        (_, code) => code,
    }
}

/// The storage places no offset beyond 63 bits.
fn wire_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// The records that are to blame, by their numbers in the batch.
fn record_errors(error: &AppendError) -> Vec<BatchIndexAndErrorMessage> {
    let one = |index: usize, message: &str| BatchIndexAndErrorMessage {
        batch_index: i32::try_from(index).unwrap_or(i32::MAX),
        batch_index_error_message: Some(Str::from(message)),
    };
    match error {
        AppendError::Invalid { records, .. } | AppendError::Timestamp { records } => {
            records.iter().map(|r| one(r.index as usize, &r.message)).collect()
        }
        AppendError::Rejected { records, .. } => records.iter().map(|r| one(r.index, &r.reason)).collect(),
        _ => Vec::new(),
    }
}

//! `TxnOffsetCommit` (28): offsets of a group that count when a transaction commits.
//!
//! Versions: 0-5.
//!
//! Behaviour: the offsets are kept aside until the transaction ends; who asks for stable offsets meanwhile hears that they
//! are not. Up to version 4 the group has to be part of the transaction. Partitions that do not exist are
//! UNKNOWN_TOPIC_OR_PARTITION each.
//!
//! What each version added: 2 leader epochs (KIP-320); 3 is flexible and knows member and generation, by which a group
//! fences (KIP-447); 4 TRANSACTION_ABORTABLE; 5 adds the group to the transaction by itself (KIP-890).

use std::sync::Arc;

use crate::broker::TopicHandle;
use crate::broker::append::TransactionOf;
use crate::broker::transactions::{TransactionError, TransactionOffsets, TransactionOffsetsError};
use crate::groups::machine::OffsetCommitter;
use crate::groups::{GroupId, NewOffset};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::model::transaction::Producer;

/// A client of this version knows that it has to abort.
const ABORTABLE_FROM: i16 = 4;
/// From here on the group joins the transaction by this request.
const JOINS_FROM: i16 = 5;

pub(in crate::kafka) async fn handle(
    door: &Door,
    ctx: &RequestContext,
    request: TxnOffsetCommitRequest,
) -> Result<TxnOffsetCommitResponse, Close> {
    let mut offsets = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = door.broker().readable(&topic.name).ok();
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in topic.partitions {
            let partition_index = partition.partition_index;
            let offset = found.as_ref().and_then(|topic| new_offset(topic, &partition));
            let code = match &offset {
                Some(_) => ErrorCode::None,
                None => ErrorCode::UnknownTopicOrPartition,
            };
            offsets.extend(offset);
            partitions.push(TxnOffsetCommitResponsePartition { partition_index, error_code: code.code() });
        }
        topics.push(TxnOffsetCommitResponseTopic { name: topic.name, partitions });
    }
    if !offsets.is_empty() {
        let count = offsets.len();
        let joins = ctx.version >= JOINS_FROM;
        let asked = TransactionOffsets {
            transaction: TransactionOf { id: request.transactional_id.into(), joins },
            producer: Producer { id: request.producer_id, epoch: request.producer_epoch },
            group: GroupId::new(request.group_id.as_str()),
            who: OffsetCommitter {
                member_id: request.member_id.as_str().into(),
                instance_id: request.group_instance_id.map(|id| id.as_str().into()),
                generation: request.generation_id,
            },
            offsets,
        };
        let codes = match door.broker().add_offsets(asked).await {
            Ok(results) => {
                results.into_iter().map(|r| r.err().map_or(ErrorCode::None, |e| (&e).into())).collect()
            }
            Err(error) => vec![refusal(&error, ctx.version); count],
        };
        let places = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
        for (place, code) in places.filter(|p| p.error_code == ErrorCode::None.code()).zip(codes) {
            place.error_code = code.code();
        }
    }
    Ok(TxnOffsetCommitResponse { topics, ..TxnOffsetCommitResponse::default() })
}

fn new_offset(topic: &Arc<TopicHandle>, partition: &TxnOffsetCommitRequestPartition) -> Option<NewOffset> {
    let index = u32::try_from(partition.partition_index).ok().filter(|index| topic.log(*index).is_some())?;
    Some(NewOffset {
        topic: topic.name().clone(),
        topic_id: topic.id(),
        partition: index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_ref().map_or("", Str::as_str).into(),
    })
}

fn refusal(error: &TransactionOffsetsError, version: i16) -> ErrorCode {
    match error {
        // What the log of the group's offsets says to an old producer in Kafka.
        TransactionOffsetsError::Transaction(TransactionError::Fenced { .. }) => {
            ErrorCode::InvalidProducerEpoch
        }
        TransactionOffsetsError::Transaction(TransactionError::GroupNotAdded(_))
            if version >= ABORTABLE_FROM =>
        {
            ErrorCode::TransactionAbortable
        }
        // Older clients give up upon CONCURRENT_TRANSACTIONS here, and try this again.
        TransactionOffsetsError::Transaction(TransactionError::Concurrent) if version < JOINS_FROM => {
            ErrorCode::CoordinatorNotAvailable
        }
        TransactionOffsetsError::Transaction(error) => ErrorCode::from(error),
        TransactionOffsetsError::Group(error) => ErrorCode::from(error),
    }
}

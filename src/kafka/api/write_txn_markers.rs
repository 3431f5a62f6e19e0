//! `WriteTxnMarkers` (27): ends transactions in partitions, past their coordinator. For `kafka-transactions.sh abort`; the
//! brokers that use it among each other in Kafka are one here.
//!
//! Versions: 1-2.
//!
//! Behaviour: one marker a partition, each on its own. A producer with a newer epoch in the partition refuses it with
//! INVALID_PRODUCER_EPOCH, and nobody writes into an internal topic: INVALID_TOPIC. The coordinator's epoch is not looked
//! at: there is one, and it is never replaced.
//!
//! What each version added: 1 is flexible; 2 the version of the transaction (KIP-1228), which nothing here depends on.

use crate::broker::transactions::TransactionError;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::write_txn_markers::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopic,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use crate::model::transaction::{Outcome, Producer};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: WriteTxnMarkersRequest,
) -> Result<WriteTxnMarkersResponse, Close> {
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in request.markers {
        let producer = Producer { id: marker.producer_id, epoch: marker.producer_epoch };
        let outcome = if marker.transaction_result { Outcome::Commit } else { Outcome::Abort };
        let mut topics = Vec::with_capacity(marker.topics.len());
        for topic in marker.topics {
            topics.push(write(door, topic, producer, outcome).await);
        }
        markers.push(WritableTxnMarkerResult { producer_id: marker.producer_id, topics });
    }
    Ok(WriteTxnMarkersResponse { markers })
}

async fn write(
    door: &Door,
    topic: WritableTxnMarkerTopic,
    producer: Producer,
    outcome: Outcome,
) -> WritableTxnMarkerTopicResult {
    let found = door.broker().topic(&topic.name).ok();
    let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
    for partition_index in topic.partition_indexes {
        let code = match (&found, u32::try_from(partition_index)) {
            (Some(topic), _) if topic.name().is_internal() => ErrorCode::InvalidTopic,
            (Some(topic), Ok(index)) => {
                match door.broker().write_marker(topic, index, producer, outcome).await {
                    Ok(Some(())) => ErrorCode::None,
                    Ok(None) => ErrorCode::UnknownTopicOrPartition,
                    Err(TransactionError::Fenced { .. }) => ErrorCode::InvalidProducerEpoch,
                    Err(error) => ErrorCode::from(&error),
                }
            }
            _ => ErrorCode::UnknownTopicOrPartition,
        };
        partitions.push(WritableTxnMarkerPartitionResult { partition_index, error_code: code.code() });
    }
    WritableTxnMarkerTopicResult { name: topic.name, partitions }
}

//! `DescribeTransactions` (65): transactional ids and what they are doing (KIP-664).
//!
//! Versions: 0.

use std::collections::BTreeSet;

use crate::broker::transactions::{TransactionError, TransactionView};
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: DescribeTransactionsRequest,
) -> Result<DescribeTransactionsResponse, Close> {
    let described = |id: Str| match door.broker().transaction(&id) {
        Ok(view) => state(id, view),
        Err(error) => {
            let code = match error {
                TransactionError::UnknownId(_) => ErrorCode::TransactionalIdNotFound,
                error => ErrorCode::from(&error),
            };
            TransactionState { error_code: code.code(), transactional_id: id, ..TransactionState::default() }
        }
    };
    Ok(DescribeTransactionsResponse {
        // Once each, so that a small request has no large answer.
        transaction_states: request
            .transactional_ids
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(described)
            .collect(),
        ..DescribeTransactionsResponse::default()
    })
}

fn state(transactional_id: Str, view: TransactionView) -> TransactionState {
    let topics = view.partitions.into_iter().map(|(topic, partitions)| TopicData {
        topic: Str::from(topic.as_str()),
        partitions: partitions.into_iter().filter_map(|p| i32::try_from(p).ok()).collect(),
    });
    TransactionState {
        error_code: ErrorCode::None.code(),
        transactional_id,
        transaction_state: Str::from_static(view.status.name()),
        transaction_timeout_ms: i32::try_from(view.timeout_ms).unwrap_or(i32::MAX),
        transaction_start_time_ms: view.started_ms.unwrap_or(-1),
        producer_id: view.producer.id,
        producer_epoch: view.producer.epoch,
        topics: topics.collect(),
    }
}

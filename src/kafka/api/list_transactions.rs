//! `ListTransactions` (66): all transactional ids (KIP-664).
//!
//! Versions: 0-1.
//!
//! Behaviour: filters are joined by *and*, the values of one filter by *or*. States that do not exist are named in the
//! answer.
//!
//! What each version added: 1 the filter by duration (KIP-994).

use crate::broker::transactions::TransactionView;
use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::wire::Str;
use crate::kafka::wire::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState,
};

/// Kafka's states; the last two do not occur here.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

pub(in crate::kafka) async fn handle(
    door: &Door,
    _ctx: &RequestContext,
    request: ListTransactionsRequest,
) -> Result<ListTransactionsResponse, Close> {
    let now_ms = door.broker().clock().now_ms();
    let is_wanted = |view: &TransactionView| {
        let by_state = || request.state_filters.iter().any(|state| *state == view.status.name());
        let lasts = || view.started_ms.is_some_and(|s| now_ms.saturating_sub(s) > request.duration_filter);
        (request.state_filters.is_empty() || by_state())
            && (request.producer_id_filters.is_empty()
                || request.producer_id_filters.contains(&view.producer.id))
            && (request.duration_filter < 0 || lasts())
    };
    let state = |view: TransactionView| TransactionState {
        transactional_id: Str::from(view.id),
        producer_id: view.producer.id,
        transaction_state: Str::from_static(view.status.name()),
    };
    let unknown = request.state_filters.iter().filter(|state| !STATES.contains(&state.as_str()));
    Ok(ListTransactionsResponse {
        unknown_state_filters: unknown.cloned().collect(),
        transaction_states: door.broker().transactions().into_iter().filter(is_wanted).map(state).collect(),
        ..ListTransactionsResponse::default()
    })
}

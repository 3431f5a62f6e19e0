//! Replicas named by clients: lists of brokers for partitions that are to be made.

use super::door::{Door, NODE_ID};
use super::error_code::ErrorCode;
use crate::kafka::refusal::Refusal;

/// How many replicas every one of these lists gives its partition: one, this node, unless larger factors are recorded.
///
/// # Errors
/// `InvalidReplicaAssignment`: an empty list, lists of different lengths, a broker twice in one, an unknown broker.
pub(super) fn assigned_replicas<'a>(
    door: &Door,
    lists: impl Iterator<Item = &'a [i32]>,
) -> Result<u16, Refusal> {
    let wrong = |why: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
    let mut replicas = None;
    for list in lists {
        if list.is_empty() {
            return wrong("a partition is assigned to no broker".to_owned());
        }
        if list.len() != *replicas.get_or_insert(list.len()) {
            return wrong("partitions are assigned to different numbers of brokers".to_owned());
        }
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong(format!("a partition is assigned to broker {} twice", pair[0]));
        }
        let stranger = list.iter().find(|id| **id != NODE_ID);
        if let Some(id) = stranger.filter(|_| !door.options().accept_replication_factor) {
            return wrong(format!("there is no broker {id}, only {NODE_ID}"));
        }
    }
    Ok(replicas.and_then(|n| u16::try_from(n).ok()).unwrap_or(1))
}

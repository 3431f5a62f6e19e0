//! `AlterReplicaLogDirs` (34).
//!
//! Versions: 1-2.
//!
//! Behaviour: there is one directory, which holds everything, so a partition that is to move there is where it should be.
//! Any other directory is LOG_DIR_NOT_FOUND.
//!
//! What each version added: 2 is flexible.
//!
//! Facts: `ReplicaManager.alterReplicaLogDirs`, KIP-113.

use crate::kafka::connection::Close;
use crate::kafka::door::{Door, RequestContext};
use crate::kafka::error_code::ErrorCode;
use crate::kafka::wire::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopic, AlterReplicaLogDirTopicResult,
    AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
};

pub(in crate::kafka) async fn handle(
    door: &Door,
    _: &RequestContext,
    request: AlterReplicaLogDirsRequest,
) -> Result<AlterReplicaLogDirsResponse, Close> {
    let own = door.broker().storage().directory().display().to_string();
    let mut results = Vec::new();
    for dir in request.dirs {
        let is_own = dir.path.as_str() == own;
        results.extend(dir.topics.into_iter().map(|topic| alter(door, is_own, topic)));
    }
    Ok(AlterReplicaLogDirsResponse { results, ..Default::default() })
}

fn alter(door: &Door, is_own: bool, topic: AlterReplicaLogDirTopic) -> AlterReplicaLogDirTopicResult {
    let handle = door.broker().topic_named(&topic.name);
    let result = |&partition_index: &i32| {
        let log = u32::try_from(partition_index).ok().and_then(|p| handle.as_ref()?.log(p));
        let code = match log {
            _ if !is_own => ErrorCode::LogDirNotFound,
            Some(_) => ErrorCode::None,
            None => ErrorCode::UnknownTopicOrPartition,
        };
        AlterReplicaLogDirPartitionResult { partition_index, error_code: code.code() }
    };
    let partitions = topic.partitions.iter().map(result).collect();
    AlterReplicaLogDirTopicResult { topic_name: topic.name, partitions }
}

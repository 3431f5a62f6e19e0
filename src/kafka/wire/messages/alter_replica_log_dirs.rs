//! `AlterReplicaLogDirs` (34): replicas to be moved between a broker's directories (KIP-113).
//!
//! Versions: 0 is gone since Kafka 4; 2 is flexible.

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// By directory.
    request AlterReplicaLogDirsRequest(
        AlterReplicaLogDirs, AlterReplicaLogDirsResponse, versions 1-2, flexible 2+
    ) {
        dirs: Vec<AlterReplicaLogDir> [1+],
    }

    /// What is to lie in a directory.
    struct AlterReplicaLogDir {
        path: Str [1+],
        topics: Vec<AlterReplicaLogDirTopic> [1+],
    }

    /// Partitions of one topic.
    struct AlterReplicaLogDirTopic {
        name: Str [1+],
        partitions: Vec<i32> [1+],
    }

    /// One result per partition.
    response AlterReplicaLogDirsResponse(AlterReplicaLogDirs, versions 1-2, flexible 2+) {
        throttle_time_ms: i32 [1+],
        results: Vec<AlterReplicaLogDirTopicResult> [1+],
    }

    /// Results of one topic.
    struct AlterReplicaLogDirTopicResult {
        topic_name: Str [1+],
        partitions: Vec<AlterReplicaLogDirPartitionResult> [1+],
    }

    /// Whether it moves there, or lies there.
    struct AlterReplicaLogDirPartitionResult {
        partition_index: i32 [1+],
        error_code: i16 [1+],
    }
}

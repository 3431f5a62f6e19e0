//! `DescribeLogDirs` (35): how large the partitions are (KIP-113).
//!
//! Versions: 1 is the oldest still served; 2 is flexible; 3 adds an error for the whole response; 4 the size of the
//! disk (KIP-827).

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// `topics` null: all.
    request DescribeLogDirsRequest(DescribeLogDirs, DescribeLogDirsResponse, versions 1-4, flexible 2+) {
        topics: Option<Vec<DescribableLogDirTopic>> [1+, nullable 1+],
    }

    /// Partitions of one topic.
    struct DescribableLogDirTopic {
        topic: Str [1+],
        partitions: Vec<i32> [1+],
    }

    /// One result per directory.
    response DescribeLogDirsResponse(DescribeLogDirs, versions 1-4, flexible 2+) {
        throttle_time_ms: i32 [1+],
        error_code: i16 [3+],
        results: Vec<DescribeLogDirsResult> [1+],
    }

    /// A directory; -1 bytes: not known.
    struct DescribeLogDirsResult {
        error_code: i16 [1+],
        log_dir: Str [1+],
        topics: Vec<DescribeLogDirsTopic> [1+],
        total_bytes: i64 [4+, default -1],
        usable_bytes: i64 [4+, default -1],
    }

    /// Partitions of one topic.
    struct DescribeLogDirsTopic {
        name: Str [1+],
        partitions: Vec<DescribeLogDirsPartition> [1+],
    }

    /// The size of a partition in bytes.
    struct DescribeLogDirsPartition {
        partition_index: i32 [1+],
        partition_size: i64 [1+],
        offset_lag: i64 [1+],
        is_future_key: bool [1+],
    }
}

//! `Fetch` (1): record batches from given offsets on, with a wait for more.
//!
//! Versions: 4 is the first that reads format 2 of record batches, with isolation level, last stable offset and
//! aborted transactions (KIP-98); 5 adds log start offsets; 7 sessions (KIP-227); 9 leader epochs (KIP-320); 10
//! allows zstd (KIP-110); 11 the reader's rack and the replica it should prefer (KIP-392); 12 is flexible and finds a
//! diverging epoch (KIP-595); 13 names topics by id (KIP-516); 14 knows tiered storage (KIP-405); 15 moves the
//! replica id into the tagged replica state (KIP-903); 16 may name new leaders (KIP-951); 17 adds a follower's
//! directory id (KIP-853), 18 its high watermark (KIP-1166).

use uuid::Uuid;

use crate::kafka::wire::macros::messages;
use crate::kafka::wire::{Records, Str};

messages! {
    /// `replica_id` -1: a consumer. `session_id` 0 with `session_epoch` 0 asks for a session, epoch -1 wants none.
    request FetchRequest(Fetch, FetchResponse, versions 4-18, flexible 12+) {
        cluster_id: Option<Str> [12+, nullable 12+, tag 0, default None],
        replica_id: i32 [4-14, default -1],
        replica_state: ReplicaState [15+, tag 1],
        max_wait_ms: i32 [4+],
        min_bytes: i32 [4+],
        max_bytes: i32 [4+, default 0x7fffffff],
        isolation_level: i8 [4+],
        session_id: i32 [7+],
        session_epoch: i32 [7+, default -1],
        topics: Vec<FetchTopic> [4+],
        forgotten_topics_data: Vec<ForgottenTopic> [7+],
        rack_id: Str [11+],
    }

    /// A follower, from version 15.
    struct ReplicaState {
        replica_id: i32 [15+, default -1],
        replica_epoch: i64 [15+, default -1],
    }

    /// What is wanted of one topic.
    struct FetchTopic {
        topic: Str [4-12],
        topic_id: Uuid [13+],
        partitions: Vec<FetchPartition> [4+],
    }

    /// From where on, and how much at most; see KIP-74 for when more is returned.
    struct FetchPartition {
        partition: i32 [4+],
        current_leader_epoch: i32 [9+, default -1],
        fetch_offset: i64 [4+],
        last_fetched_epoch: i32 [12+, default -1],
        log_start_offset: i64 [5+, default -1],
        partition_max_bytes: i32 [4+],
        replica_directory_id: Uuid [17+, tag 0],
        high_watermark: i64 [18+, tag 1, default 9223372036854775807],
    }

    /// What a session no longer asks for.
    struct ForgottenTopic {
        topic: Str [7-12],
        topic_id: Uuid [13+],
        partitions: Vec<i32> [7+],
    }

    /// In the order of the request; in a session only what has news.
    response FetchResponse(Fetch, versions 4-18, flexible 12+) {
        throttle_time_ms: i32 [4+],
        error_code: i16 [7+],
        session_id: i32 [7+],
        responses: Vec<FetchableTopicResponse> [4+],
        node_endpoints: Vec<NodeEndpoint> [16+, tag 0],
    }

    /// Results of one topic.
    struct FetchableTopicResponse {
        topic: Str [4-12],
        topic_id: Uuid [13+],
        partitions: Vec<PartitionData> [4+],
    }

    /// Whole batches: the first may begin before the offset asked for. `aborted_transactions` is sorted by first offset.
    struct PartitionData {
        partition_index: i32 [4+],
        error_code: i16 [4+],
        high_watermark: i64 [4+],
        last_stable_offset: i64 [4+, default -1],
        log_start_offset: i64 [5+, default -1],
        diverging_epoch: EpochEndOffset [12+, tag 0],
        current_leader: LeaderIdAndEpoch [12+, tag 1],
        snapshot_id: SnapshotId [12+, tag 2],
        aborted_transactions: Option<Vec<AbortedTransaction>> [4+, nullable 4+],
        preferred_read_replica: i32 [11+, default -1],
        records: Option<Records> [4+, nullable 4+],
    }

    /// Where the log of an epoch ends, when the reader's log diverges; -1: it does not.
    struct EpochEndOffset {
        epoch: i32 [12+, default -1],
        end_offset: i64 [12+, default -1],
    }

    /// The leader to go to; -1: not known.
    struct LeaderIdAndEpoch {
        leader_id: i32 [12+, default -1],
        leader_epoch: i32 [12+, default -1],
    }

    /// The snapshot to fetch instead; -1: none. Only for controllers.
    struct SnapshotId {
        end_offset: i64 [4+, default -1],
        epoch: i32 [4+, default -1],
    }

    /// Skip records of this producer from this offset up to its abort marker.
    struct AbortedTransaction {
        producer_id: i64 [4+],
        first_offset: i64 [4+],
    }

    /// Where a new leader listens.
    struct NodeEndpoint {
        node_id: i32 [16+],
        host: Str [16+],
        port: i32 [16+],
        rack: Option<Str> [16+, nullable 16+, default None],
    }
}

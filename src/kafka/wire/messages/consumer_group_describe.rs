//! `ConsumerGroupDescribe` (69): groups of the new protocol and their members (KIP-848).
//!
//! Versions: 1 adds the type of a member (KIP-1099).

use uuid::Uuid;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// Groups by id.
    request ConsumerGroupDescribeRequest(
        ConsumerGroupDescribe, ConsumerGroupDescribeResponse, versions 0-1, flexible 0+
    ) {
        group_ids: Vec<Str> [0+],
        include_authorized_operations: bool [0+],
    }

    /// One result per group.
    response ConsumerGroupDescribeResponse(ConsumerGroupDescribe, versions 0-1, flexible 0+) {
        throttle_time_ms: i32 [0+],
        groups: Vec<DescribedGroup> [0+],
    }

    /// A group.
    struct DescribedGroup {
        error_code: i16 [0+],
        error_message: Option<Str> [0+, nullable 0+, default None],
        group_id: Str [0+],
        group_state: Str [0+],
        group_epoch: i32 [0+],
        assignment_epoch: i32 [0+],
        assignor_name: Str [0+],
        members: Vec<Member> [0+],
        authorized_operations: i32 [0+, default -2147483648],
    }

    /// `member_type` 0: classic, 1: consumer, -1: not known.
    struct Member {
        member_id: Str [0+],
        instance_id: Option<Str> [0+, nullable 0+, default None],
        rack_id: Option<Str> [0+, nullable 0+, default None],
        member_epoch: i32 [0+],
        client_id: Str [0+],
        client_host: Str [0+],
        subscribed_topic_names: Vec<Str> [0+],
        subscribed_topic_regex: Option<Str> [0+, nullable 0+, default None],
        assignment: Assignment [0+],
        target_assignment: Assignment [0+],
        member_type: i8 [1+, default -1],
    }

    /// What a member owns, or shall own.
    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0+],
    }

    /// Partitions of one topic.
    struct TopicPartitions {
        topic_id: Uuid [0+],
        topic_name: Str [0+],
        partitions: Vec<i32> [0+],
    }
}

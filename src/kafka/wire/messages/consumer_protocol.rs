//! What consumers say to each other through a classic group: the subscription in `JoinGroup`, the assignment in
//! `SyncGroup`. To the coordinator both are opaque; it reads a subscription only to know which topics a group uses, so
//! that `OffsetDelete` can refuse them, and translates when groups change between protocols (KIP-848).
//!
//! The bytes are an `i16` version, then the message. A reader takes a version above its own as its own, because fields
//! are only ever added at the end; so there may be bytes left over.
//!
//! Versions: 1 adds owned partitions (KIP-429), 2 the generation that they are of (KIP-792), 3 the rack (KIP-881).

use bytes::Bytes;

use crate::kafka::wire::Str;
use crate::kafka::wire::macros::messages;

messages! {
    /// What a member wants, and what it owned so far.
    data ConsumerProtocolSubscription(versions 0-3) {
        topics: Vec<Str> [0+],
        user_data: Option<Bytes> [0+, nullable 0+, default None],
        owned_partitions: Vec<TopicPartition> [1+],
        generation_id: i32 [2+, default -1],
        rack_id: Option<Str> [3+, nullable 3+, default None],
    }

    /// What a member is given.
    data ConsumerProtocolAssignment(versions 0-3) {
        assigned_partitions: Vec<TopicPartition> [0+],
        user_data: Option<Bytes> [0+, nullable 0+, default None],
    }

    /// Partitions of one topic.
    struct TopicPartition {
        topic: Str [0+],
        partitions: Vec<i32> [0+],
    }
}

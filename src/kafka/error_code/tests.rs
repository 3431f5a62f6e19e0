//! The table as text: a change of it shows in the diff.

use std::fmt::Write as _;

use kafka_protocol::ResponseError;

use super::*;
use crate::broker::view::Trouble;
use crate::groups::GroupId;
use crate::model::batch::BatchError;
use crate::model::names::NameError;
use crate::model::topic::ConfigError;
use crate::model::transaction::Phase;
use crate::model::{DeploymentName, TopicId, TopicName};

#[test]
fn codes_have_kafkas_numbers_and_stand_in_order() {
    let numbers: Vec<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(numbers, sorted);
    for code in ErrorCode::ALL {
        let oracle = ResponseError::try_from_code(code.code());
        // The oracle calls success nothing, and does not know the newest.
        let Some(error) = oracle.filter(|error| !matches!(error, ResponseError::Unknown(_))) else {
            continue;
        };
        let name = screaming(&format!("{error:?}"));
        assert_eq!(code.name().trim_end_matches("_EXCEPTION"), name.trim_end_matches("_EXCEPTION"));
    }
}

/// `OffsetOutOfRange` → `OFFSET_OUT_OF_RANGE`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}

fn topic() -> TopicName {
    TopicName::parse("t").unwrap()
}

/// `words → CODE`, a line each.
fn table<E: std::fmt::Display>(errors: &[E], code: impl Fn(&E) -> ErrorCode) -> String {
    errors.iter().fold(String::new(), |mut text, error| {
        let _ = writeln!(text, "{error} → {}", code(error).name());
        text
    })
}

#[test]
fn what_topics_say() {
    let by = vec![DeploymentName::parse("d").unwrap()];
    let errors = [
        TopicError::Unknown { name: "t".into(), suggestion: None },
        TopicError::Name(NameError::Empty { kind: "topic", max: 249 }),
        TopicError::Internal(topic()),
        TopicError::View { name: topic(), source_topic: topic() },
        TopicError::Exists { name: topic(), difference: None },
        TopicError::Config(ConfigError::Unknown { key: "k".into(), suggestion: None }),
        TopicError::Partitions { name: topic(), asked: 0, least: 1, most: 1_000 },
        TopicError::TooMany { limit: 5 },
        TopicError::InUse { name: topic(), by: by.clone() },
        TopicError::StatefulInput { name: topic(), by },
        TopicError::Revision { name: topic(), expected: 1, actual: 2 },
        TopicError::Storage { name: topic(), source: storage::Error::Commit(CommitError::Closed) },
    ];
    let expected = "\
topic `t` does not exist → UNKNOWN_TOPIC_OR_PARTITION
topic name is empty; 1 to 249 characters are allowed → INVALID_TOPIC_EXCEPTION
topic `t` is internal: names that begin with `__` belong to the server → INVALID_TOPIC_EXCEPTION
`t` is a view of topic `t`: it can be read, and nothing else → INVALID_TOPIC_EXCEPTION
topic `t` exists already → TOPIC_ALREADY_EXISTS
unknown config `k` → INVALID_CONFIG
topic `t`: 0 partitions asked for, expected 1 to 1000 → INVALID_PARTITIONS
5 topics exist, which is the most that one node holds → POLICY_VIOLATION
topic `t` is used by deployment `d` → POLICY_VIOLATION
partitions cannot be added to topic `t`: it is an input of the stateful deployment `d` → INVALID_PARTITIONS
topic `t` has revision 2, the request expected 1 → INVALID_REQUEST
topic `t` could not be changed → NOT_LEADER_OR_FOLLOWER
";
    assert_eq!(table(&errors, |e| ErrorCode::from(e)), expected);
}

#[test]
fn what_the_storage_says() {
    let id = TopicId(uuid::Uuid::nil());
    let commits = [
        CommitError::Expected { topic: id, partition: 0, expected: 1, actual: 2 },
        CommitError::DiskFull { free: 1, reserve: 2 },
        CommitError::TopicGone { topic: id },
        CommitError::Fenced,
        CommitError::Closed,
        CommitError::Unknown("power".into()),
    ];
    let expected = "\
partition 0 expects offset 1, its next is 2 → UNKNOWN_SERVER_ERROR
disk full: 1 bytes free, 2 are kept in reserve → KAFKA_STORAGE_ERROR
topic 00000000000000000000000000000000 was deleted → UNKNOWN_TOPIC_OR_PARTITION
its task has been replaced → UNKNOWN_SERVER_ERROR
the storage is closed → NOT_LEADER_OR_FOLLOWER
the outcome is not known: power → REQUEST_TIMED_OUT
";
    assert_eq!(table(&commits, |e| ErrorCode::from(e)), expected);

    let reads = [
        storage::ReadError::OutOfRange { asked: 9, start: 1, tail: 5 },
        storage::ReadError::TopicGone { topic: id },
        storage::ReadError::Damaged("x".into()),
        storage::ReadError::Engine("x".into()),
        storage::ReadError::Closed,
    ];
    let expected = "\
offset 9 is out of range, the log holds 1..5 → OFFSET_OUT_OF_RANGE
topic 00000000000000000000000000000000 was deleted → UNKNOWN_TOPIC_OR_PARTITION
stored data is damaged: x → KAFKA_STORAGE_ERROR
cannot read: x → KAFKA_STORAGE_ERROR
the storage is closed → NOT_LEADER_OR_FOLLOWER
";
    assert_eq!(table(&reads, |e| ErrorCode::from(e)), expected);
}

#[test]
fn what_a_view_says() {
    let (view, module) = ("view `v`".to_owned(), "m@1.0.0".to_owned());
    let closed = |source| ReadError::ViewClosed { view: view.clone(), module: module.clone(), source };
    let errors = [
        ReadError::View {
            view: view.clone(),
            module: module.clone(),
            topic: topic(),
            partition: 1,
            offset: 7,
            source: Box::new(Trouble::Several(2)),
        },
        closed(Fault::Busy("busy".into())),
        closed(Fault::Open("no".into())),
    ];
    let expected = "\
view `v` stops at offset 7 of partition 1 of topic `t` → INVALID_RECORD
view `v` cannot be read through → KAFKA_STORAGE_ERROR
view `v` cannot be read through → INVALID_CONFIG
";
    assert_eq!(table(&errors, |e| ErrorCode::from(e)), expected);
}

#[test]
fn what_appending_says() {
    let errors = [
        AppendError::UnknownPartition { topic: topic(), partition: 3, partitions: 2 },
        AppendError::TopicGone(topic()),
        AppendError::TooLarge { topic: topic(), found: 2, limit: 1 },
        AppendError::Corrupt(BatchError::Malformed("x")),
        AppendError::Codec(7),
        AppendError::Invalid { message: "x".into(), records: Vec::new() },
        AppendError::Timestamp { records: Vec::new() },
        AppendError::Sequence(SequenceError::OutOfOrder { producer_id: 1, found: 5, expected: 3 }),
        AppendError::Sequence(SequenceError::Fenced { producer_id: 1, found: 5, current: 6 }),
        AppendError::ProducersFull { remembered: 5 },
        AppendError::NoTransactionalId,
        AppendError::Transaction(TransactionError::Fenced { found: 1, current: 2 }),
        AppendError::Rejected { deployment: DeploymentName::parse("d").unwrap(), records: Vec::new() },
        AppendError::Overloaded { in_flight: 1, limit: 1 },
        AppendError::RequestTooLarge { found: 2, limit: 1 },
        AppendError::DiskFull { free: 1, reserve: 2 },
        AppendError::Closed,
        AppendError::Unknown("power".into()),
    ];
    let expected = "\
topic `t` has partitions 0 to 1, not 3 → UNKNOWN_TOPIC_OR_PARTITION
topic `t` was deleted → UNKNOWN_TOPIC_OR_PARTITION
a batch of 2 bytes, topic `t` allows 1 (max.message.bytes) → MESSAGE_TOO_LARGE
a damaged batch → CORRUPT_MESSAGE
a batch compressed with the unknown codec 7 → UNSUPPORTED_COMPRESSION_TYPE
an invalid batch: x → INVALID_RECORD
0 records have timestamps out of range → INVALID_TIMESTAMP
producer 1 sent sequence 5, expected 3 → OUT_OF_ORDER_SEQUENCE_NUMBER
producer 1 sent epoch 5, epoch 6 is in force → INVALID_PRODUCER_EPOCH
5 producers are remembered, which is the most → POLICY_VIOLATION
a batch of a transaction without a transactional id → INVALID_TXN_STATE
epoch 1 was sent, epoch 2 is in force → INVALID_PRODUCER_EPOCH
deployment `d` rejected 0 records → INVALID_RECORD
1 bytes of produce requests are under way, the bound is 1 → KAFKA_STORAGE_ERROR
the request needs 2 bytes, at most 1 can be under way at once → MESSAGE_TOO_LARGE
the disk has 1 bytes free, the reserve is 2 → KAFKA_STORAGE_ERROR
the server is stopping → NOT_LEADER_OR_FOLLOWER
the outcome of the write is not known: power → REQUEST_TIMED_OUT
";
    assert_eq!(table(&errors, |e| ErrorCode::from(e)), expected);
}

#[test]
fn what_transactions_say() {
    let errors = [
        TransactionError::EmptyId,
        TransactionError::UnknownId("x".into()),
        TransactionError::Mapping { found: 5 },
        TransactionError::Fenced { found: 1, current: 2 },
        TransactionError::Concurrent,
        TransactionError::Phase { asked: "committed", phase: Phase::Empty },
        TransactionError::NotAdded { partition: 0 },
        TransactionError::GroupNotAdded("g".into()),
        TransactionError::Outside { producer_id: 1 },
        TransactionError::Timeout { asked_ms: -1, most_ms: 900_000 },
        TransactionError::IdsFull { limit: 1 },
        TransactionError::PartitionsFull { limit: 1 },
        TransactionError::Storage(CommitError::Closed),
    ];
    let expected = "\
the transactional id is empty → INVALID_REQUEST
transactional id `x` is not known → INVALID_PRODUCER_ID_MAPPING
producer id 5 does not belong to the transactional id → INVALID_PRODUCER_ID_MAPPING
epoch 1 was sent, epoch 2 is in force → PRODUCER_FENCED
another change of this transactional id is under way → CONCURRENT_TRANSACTIONS
a transaction cannot be committed when it is Empty → INVALID_TXN_STATE
partition 0 has not been added to the transaction → INVALID_TXN_STATE
group `g` has not been added to the transaction → INVALID_TXN_STATE
producer 1 has an open transaction in this partition, the batch is not part of it → INVALID_TXN_STATE
a transaction timeout of -1 ms was asked for, expected 1 to 900000 → INVALID_TRANSACTION_TIMEOUT
1 transactional ids are known, which is the most → POLICY_VIOLATION
the transaction includes 1 partitions, which is the most → POLICY_VIOLATION
the storage is closed → COORDINATOR_NOT_AVAILABLE
";
    assert_eq!(table(&errors, |e| ErrorCode::from(e)), expected);
    assert_eq!(ErrorCode::ProducerFenced.fenced_since(4, 3), ErrorCode::InvalidProducerEpoch);
    assert_eq!(ErrorCode::ProducerFenced.fenced_since(4, 4), ErrorCode::ProducerFenced);
}

#[test]
fn what_groups_say() {
    let group = || GroupId::new("g");
    let errors = [
        GroupError::EmptyId,
        GroupError::NotFound { group: group() },
        GroupError::InconsistentProtocol,
        GroupError::Rebalancing,
        GroupError::NotEmpty { members: 1 },
        GroupError::Unstable,
        GroupError::Deleting,
        GroupError::Closed,
        GroupError::FencedEpoch { asked: 1, current: 2 },
        GroupError::StaleEpoch { asked: 1, current: 2 },
        GroupError::Epoch { asked: -3 },
        GroupError::UnreleasedInstance { instance_id: "i".into() },
        GroupError::Pattern { why: String::new() },
        GroupError::NotConsumer { group: group() },
    ];
    let codes: Vec<_> = errors.iter().map(|e| ErrorCode::from(e).name()).collect();
    let expected = [
        "INVALID_GROUP_ID",
        "GROUP_ID_NOT_FOUND",
        "INCONSISTENT_GROUP_PROTOCOL",
        "REBALANCE_IN_PROGRESS",
        "NON_EMPTY_GROUP",
        "UNSTABLE_OFFSET_COMMIT",
        "COORDINATOR_NOT_AVAILABLE",
        "COORDINATOR_NOT_AVAILABLE",
        "FENCED_MEMBER_EPOCH",
        "STALE_MEMBER_EPOCH",
        "INVALID_REQUEST",
        "UNRELEASED_INSTANCE_ID",
        "INVALID_REGULAR_EXPRESSION",
        "GROUP_ID_NOT_FOUND",
    ];
    assert_eq!(codes, expected);
}

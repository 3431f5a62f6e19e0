//! The table of topic settings: every one of Kafka 4.2's topics, and `durability`, which is ours.
//!
//! Names, types, defaults and bounds are Kafka's (`LogConfig`, `TopicConfig`, `ServerTopicConfigSynonyms`), except where
//! the documentation of a row says otherwise. A row that has no meaning on one node is accepted, stored and described
//! like the others, so that tools that read everything and write it back work, and says that it has no effect.

use super::super::limits::MESSAGE_BYTES_MAX;
use super::key::{ConfigKey, ConfigKind, boolean, items, whole};

const INT_MAX: i64 = i32::MAX as i64;
const MESSAGE_MAX: i64 = MESSAGE_BYTES_MAX as i64;

const BOOLEAN: &str = "true or false";
const MILLISECONDS: &str = "a number of milliseconds, 0 or more";
const MILLISECONDS_FROM_1: &str = "a number of milliseconds, 1 or more";
const THROTTLED: &str = "a list of PARTITION:BROKER, or *";

/// Every known setting, in alphabetical order.
pub const KEYS: [ConfigKey; 34] = [
    ConfigKey {
        name: "cleanup.policy",
        kind: ConfigKind::List,
        default: "delete",
        expected: "delete, compact, both with a comma between, or nothing",
        doc: "What happens to old records: `delete` drops them by time and size, `compact` keeps the last record of \
              every key. Nothing keeps everything.",
        has_effect: true,
        synonyms: &["log.cleanup.policy"],
        check: |v| items(v).all(|item| matches!(item, "delete" | "compact")),
    },
    ConfigKey {
        name: "compression.gzip.level",
        kind: ConfigKind::Int,
        default: "-1",
        expected: "1 to 9, or -1 for the codec's default",
        doc: "The level of gzip. The server compresses with the codec's default.",
        has_effect: false,
        synonyms: &["compression.gzip.level"],
        check: |v| v == "-1" || whole::<1, 9>(v),
    },
    ConfigKey {
        name: "compression.lz4.level",
        kind: ConfigKind::Int,
        default: "9",
        expected: "1 to 17",
        doc: "The level of lz4. The server compresses with the codec's default.",
        has_effect: false,
        synonyms: &["compression.lz4.level"],
        check: whole::<1, 17>,
    },
    ConfigKey {
        name: "compression.type",
        kind: ConfigKind::String,
        default: "producer",
        expected: "producer, uncompressed, gzip, snappy, lz4 or zstd",
        doc: "How batches are compressed. `producer` keeps those of Kafka's clients as they came and leaves those that \
              the server builds (HTTP, transforms, processors) uncompressed; a codec's name compresses both. `none` is \
              another word for `uncompressed`.",
        has_effect: true,
        synonyms: &["compression.type"],
        check: |v| matches!(v, "producer" | "uncompressed" | "none" | "gzip" | "snappy" | "lz4" | "zstd"),
    },
    ConfigKey {
        name: "compression.zstd.level",
        kind: ConfigKind::Int,
        default: "3",
        expected: "-131072 to 22",
        doc: "The level of zstd. The server compresses with the codec's default.",
        has_effect: false,
        synonyms: &["compression.zstd.level"],
        check: whole::<-131_072, 22>,
    },
    ConfigKey {
        name: "delete.retention.ms",
        kind: ConfigKind::Long,
        default: "86400000",
        expected: MILLISECONDS,
        doc: "How long compaction keeps a tombstone, so that readers learn of the deletion.",
        has_effect: true,
        synonyms: &["log.cleaner.delete.retention.ms"],
        check: whole::<0, { i64::MAX }>,
    },
    ConfigKey {
        name: "durability",
        kind: ConfigKind::String,
        default: "fsync",
        expected: "fsync or os",
        doc: "When a record is acknowledged: after its fdatasync, or from the page cache (synced within a second).",
        has_effect: true,
        synonyms: &[],
        check: |v| matches!(v, "fsync" | "os"),
    },
    ConfigKey {
        name: "file.delete.delay.ms",
        kind: ConfigKind::Long,
        default: "60000",
        expected: MILLISECONDS,
        doc: "How long a deleted segment's file stays on disk. Segments have no files here.",
        has_effect: false,
        synonyms: &["log.segment.delete.delay.ms"],
        check: whole::<0, { i64::MAX }>,
    },
    ConfigKey {
        name: "flush.messages",
        kind: ConfigKind::Long,
        default: "9223372036854775807",
        expected: "a number of records, 1 or more",
        doc: "Records between two syncs. `durability` decides about that here.",
        has_effect: false,
        synonyms: &["log.flush.interval.messages"],
        check: whole::<1, { i64::MAX }>,
    },
    ConfigKey {
        name: "flush.ms",
        kind: ConfigKind::Long,
        default: "9223372036854775807",
        expected: MILLISECONDS,
        doc: "Time between two syncs. `durability` decides about that here.",
        has_effect: false,
        synonyms: &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        check: whole::<0, { i64::MAX }>,
    },
    ConfigKey {
        name: "follower.replication.throttled.replicas",
        kind: ConfigKind::List,
        default: "",
        expected: THROTTLED,
        doc: "Replicas that copy slowly as followers. One node has none.",
        has_effect: false,
        synonyms: &[],
        check: throttled,
    },
    ConfigKey {
        name: "index.interval.bytes",
        kind: ConfigKind::Int,
        default: "4096",
        expected: "a number of bytes, 0 or more",
        doc: "Bytes between two entries of the offset index. Every batch is indexed here.",
        has_effect: false,
        synonyms: &["log.index.interval.bytes"],
        check: whole::<0, INT_MAX>,
    },
    ConfigKey {
        name: "leader.replication.throttled.replicas",
        kind: ConfigKind::List,
        default: "",
        expected: THROTTLED,
        doc: "Replicas that are copied from slowly. One node has none.",
        has_effect: false,
        synonyms: &[],
        check: throttled,
    },
    ConfigKey {
        name: "local.retention.bytes",
        kind: ConfigKind::Long,
        default: "-2",
        expected: "a number of bytes, -1 for no bound, or -2 for that of retention.bytes",
        doc: "Bytes kept locally under tiered storage, which there is none of.",
        has_effect: false,
        synonyms: &["log.local.retention.bytes"],
        check: whole::<-2, { i64::MAX }>,
    },
    ConfigKey {
        name: "local.retention.ms",
        kind: ConfigKind::Long,
        default: "-2",
        expected: "a number of milliseconds, -1 for ever, or -2 for that of retention.ms",
        doc: "Time kept locally under tiered storage, which there is none of.",
        has_effect: false,
        synonyms: &["log.local.retention.ms"],
        check: whole::<-2, { i64::MAX }>,
    },
    ConfigKey {
        name: "max.compaction.lag.ms",
        kind: ConfigKind::Long,
        default: "9223372036854775807",
        expected: MILLISECONDS_FROM_1,
        doc: "A record is compacted at the latest when it is so old, however few duplicates there are.",
        has_effect: true,
        synonyms: &["log.cleaner.max.compaction.lag.ms"],
        check: whole::<1, { i64::MAX }>,
    },
    ConfigKey {
        name: "max.message.bytes",
        kind: ConfigKind::Int,
        default: "1048588",
        expected: "a number of bytes from 1024 to 67108864",
        doc: "The largest record batch, compressed. Kafka has no such bounds for the value.",
        has_effect: true,
        synonyms: &["message.max.bytes"],
        check: whole::<1024, MESSAGE_MAX>,
    },
    ConfigKey {
        name: "message.timestamp.after.max.ms",
        kind: ConfigKind::Long,
        default: "3600000",
        expected: MILLISECONDS,
        doc: "How far in the future a record's timestamp may lie. Only with `message.timestamp.type=CreateTime`.",
        has_effect: true,
        synonyms: &["log.message.timestamp.after.max.ms"],
        check: whole::<0, { i64::MAX }>,
    },
    ConfigKey {
        name: "message.timestamp.before.max.ms",
        kind: ConfigKind::Long,
        default: "9223372036854775807",
        expected: MILLISECONDS,
        doc: "How far in the past a record's timestamp may lie. Only with `message.timestamp.type=CreateTime`.",
        has_effect: true,
        synonyms: &["log.message.timestamp.before.max.ms"],
        check: whole::<0, { i64::MAX }>,
    },
    ConfigKey {
        name: "message.timestamp.type",
        kind: ConfigKind::String,
        default: "CreateTime",
        expected: "CreateTime or LogAppendTime",
        doc: "Whose timestamp a record has: the producer's, or that of the moment in which it is stored.",
        has_effect: true,
        synonyms: &["log.message.timestamp.type"],
        check: |v| matches!(v, "CreateTime" | "LogAppendTime"),
    },
    ConfigKey {
        name: "min.cleanable.dirty.ratio",
        kind: ConfigKind::Double,
        default: "0.5",
        expected: "a number from 0 to 1",
        doc: "Compaction runs when so large a part of the log has not been compacted yet.",
        has_effect: true,
        synonyms: &["log.cleaner.min.cleanable.ratio"],
        check: |v| v.parse().is_ok_and(|n: f64| (0.0..=1.0).contains(&n)),
    },
    ConfigKey {
        name: "min.compaction.lag.ms",
        kind: ConfigKind::Long,
        default: "0",
        expected: MILLISECONDS,
        doc: "A record is not compacted before it is so old.",
        has_effect: true,
        synonyms: &["log.cleaner.min.compaction.lag.ms"],
        check: whole::<0, { i64::MAX }>,
    },
    ConfigKey {
        name: "min.insync.replicas",
        kind: ConfigKind::Int,
        default: "1",
        expected: "a number of replicas, 1 or more",
        doc: "Replicas that have to have a record before it is acknowledged. One node is all there are.",
        has_effect: false,
        synonyms: &["min.insync.replicas"],
        check: whole::<1, INT_MAX>,
    },
    ConfigKey {
        name: "preallocate",
        kind: ConfigKind::Boolean,
        default: "false",
        expected: BOOLEAN,
        doc: "Takes a segment's disk space at its creation. Segments have no files here.",
        has_effect: false,
        synonyms: &["log.preallocate"],
        check: boolean,
    },
    ConfigKey {
        name: "remote.log.copy.disable",
        kind: ConfigKind::Boolean,
        default: "false",
        expected: BOOLEAN,
        doc: "Makes tiered data read only. There is no tiered storage.",
        has_effect: false,
        synonyms: &[],
        check: boolean,
    },
    ConfigKey {
        name: "remote.log.delete.on.disable",
        kind: ConfigKind::Boolean,
        default: "false",
        expected: BOOLEAN,
        doc: "Deletes tiered data when tiering is turned off. There is no tiered storage.",
        has_effect: false,
        synonyms: &[],
        check: boolean,
    },
    ConfigKey {
        name: "remote.storage.enable",
        kind: ConfigKind::Boolean,
        default: "false",
        expected: "false (there is no tiered storage)",
        doc: "Turns tiered storage on. There is none, so `true` is refused, as Kafka refuses it where none is set up.",
        has_effect: false,
        synonyms: &[],
        check: |v| v.eq_ignore_ascii_case("false"),
    },
    ConfigKey {
        name: "retention.bytes",
        kind: ConfigKind::Long,
        default: "-1",
        expected: "a number of bytes, or -1 for no bound",
        doc: "The oldest records of a partition go when it is larger than this.",
        has_effect: true,
        synonyms: &["log.retention.bytes"],
        check: whole::<-1, { i64::MAX }>,
    },
    ConfigKey {
        name: "retention.ms",
        kind: ConfigKind::Long,
        default: "604800000",
        expected: "a number of milliseconds, or -1 for ever",
        doc: "Records older than this go.",
        has_effect: true,
        synonyms: &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        check: whole::<-1, { i64::MAX }>,
    },
    ConfigKey {
        name: "segment.bytes",
        kind: ConfigKind::Int,
        default: "1073741824",
        expected: "a number of bytes, 14 or more",
        doc: "A segment, the unit in which retention deletes and which compaction leaves alone while it is open, is \
              closed at this size. None grows beyond 64 MiB here.",
        has_effect: true,
        synonyms: &["log.segment.bytes"],
        check: whole::<14, INT_MAX>,
    },
    ConfigKey {
        name: "segment.index.bytes",
        kind: ConfigKind::Int,
        default: "10485760",
        expected: "a number of bytes, 4 or more",
        doc: "Size of a segment's index file. Segments have no files here.",
        has_effect: false,
        synonyms: &["log.index.size.max.bytes"],
        check: whole::<4, INT_MAX>,
    },
    ConfigKey {
        name: "segment.jitter.ms",
        kind: ConfigKind::Long,
        default: "0",
        expected: MILLISECONDS,
        doc: "Spreads the moments at which segments are closed, which costs nothing here.",
        has_effect: false,
        synonyms: &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        check: whole::<0, { i64::MAX }>,
    },
    ConfigKey {
        name: "segment.ms",
        kind: ConfigKind::Long,
        default: "604800000",
        expected: MILLISECONDS_FROM_1,
        doc: "A segment is closed when it is so old. None grows older than a day here.",
        has_effect: true,
        synonyms: &["log.roll.ms", "log.roll.hours"],
        check: whole::<1, { i64::MAX }>,
    },
    ConfigKey {
        name: "unclean.leader.election.enable",
        kind: ConfigKind::Boolean,
        default: "false",
        expected: BOOLEAN,
        doc: "Lets a replica that is behind become leader. One node has no other.",
        has_effect: false,
        synonyms: &["unclean.leader.election.enable"],
        check: boolean,
    },
];

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.name == name)
}

fn throttled(text: &str) -> bool {
    let is_replica = |item: &str| {
        let parts = item.split_once(':');
        parts.is_some_and(|(partition, broker)| whole::<0, INT_MAX>(partition) && whole::<0, INT_MAX>(broker))
    };
    text == "*" || items(text).all(is_replica)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_in_alphabetical_order_and_allow_their_defaults() {
        let names = KEYS.each_ref().map(|key| key.name);
        let mut sorted = names;
        sorted.sort_unstable();
        assert_eq!(names, sorted);
        for key in &KEYS {
            assert!((key.check)(key.default), "the default of {} passes its own check", key.name);
            assert!(key.doc.ends_with('.') && key.doc.len() > 20, "{} is documented", key.name);
        }
    }

    #[test]
    fn values_are_allowed_or_refused() {
        let cases = [
            ("cleanup.policy", "compact, delete", true),
            ("cleanup.policy", "", true),
            ("cleanup.policy", "compact,shred", false),
            ("compression.type", "none", true),
            ("compression.type", "brotli", false),
            ("compression.gzip.level", "-1", true),
            ("compression.gzip.level", "0", false),
            ("compression.zstd.level", "23", false),
            ("min.cleanable.dirty.ratio", "0.25", true),
            ("min.cleanable.dirty.ratio", "1.01", false),
            ("min.cleanable.dirty.ratio", "NaN", false),
            ("max.message.bytes", "67108865", false),
            ("message.timestamp.type", "createtime", false),
            ("leader.replication.throttled.replicas", "0:1,1:1", true),
            ("leader.replication.throttled.replicas", "*", true),
            ("leader.replication.throttled.replicas", "0", false),
            ("preallocate", "TRUE", true),
            ("preallocate", "yes", false),
            ("remote.storage.enable", "true", false),
            ("segment.bytes", "2147483648", false),
            ("retention.ms", "-2", false),
        ];
        for (name, value, is_allowed) in cases {
            let key = find(name).unwrap();
            assert_eq!((key.check)(value), is_allowed, "{name}={value}");
        }
    }

    #[test]
    fn a_setting_without_effect_says_so() {
        let doc = find("preallocate").unwrap().documentation();
        assert!(doc.ends_with("Kept and described, without effect."), "{doc}");
        assert!(!find("retention.ms").unwrap().documentation().contains("effect"));
    }
}

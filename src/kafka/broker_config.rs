//! The broker's settings under Kafka's names: what tools read to learn how a broker behaves. Every value is what this
//! server does, in Kafka's words; what Kafka has and means nothing here is left out.
//!
//! Most of them are fixed while the server runs: some are settings of the server, the rest is how it is built. The
//! defaults that topics get can be altered, see `model::runtime_config`.
//!
//! Facts: `KafkaConfig`, `ServerLogConfigs`, `GroupCoordinatorConfig`, `TransactionLogConfig`.

use std::fmt::Display;
use std::time::Duration;

use super::Options;
use super::door::{Door, Endpoint, NODE_ID, RequestContext};
use super::error_code::ErrorCode;
use super::refusal::Refusal;
use super::setting::{Layers, Setting, Source, Synonym};
use crate::groups;
use crate::model::limits::{
    KAFKA_FETCH_BYTES_MAX, KAFKA_FETCH_SESSIONS_MAX, KAFKA_IDLE_MAX, KAFKA_REQUEST_BYTES_MAX,
    OFFSET_METADATA_MAX, PRODUCER_KEPT, TRANSACTION_TIMEOUT_MAX, TRANSACTIONAL_ID_KEPT,
};
use crate::model::runtime_config::{HEARTBEAT_INTERVAL, SESSION_TIMEOUT};
use crate::model::topic::ConfigKind::{self, Boolean, Int, List, Long, String as Word};

/// A setting that cannot be altered.
struct Fixed {
    /// Kafka's name
    name: &'static str,
    kind: ConfigKind,
    /// as text; `None`: there is none
    value: fn(&Door, &RequestContext) -> Option<String>,
    /// the setting of the server that it comes from; `None`: it is how the server is built
    knob: Option<Knob>,
    doc: &'static str,
}

/// A setting of the server, and whether it is another than by default.
type Knob = (&'static str, fn(&Door) -> bool);

/// Settings that cannot be altered, in alphabetical order.
const FIXED: [Fixed; 41] = [
    Fixed {
        name: "advertised.listeners",
        kind: List,
        value: |door, ctx| {
            let Endpoint { host, port } = door.endpoint(ctx);
            text(format_args!("PLAINTEXT://{host}:{port}"))
        },
        knob: Some(("kafka.advertised", |door| door.options().advertised != Options::default().advertised)),
        doc: "Where clients are told to connect to; without it, the address through which each of them came.",
    },
    built("authorizer.class.name", Word, |_, _| text(""), "There are no users, and no rules about them."),
    Fixed {
        name: "auto.create.topics.enable",
        kind: Boolean,
        value: |door, _| text(door.options().auto_create_topics),
        knob: Some(("kafka.auto_create_topics", |door| {
            door.options().auto_create_topics != Options::default().auto_create_topics
        })),
        doc: "Whether a client that asks for a topic which is not there creates it.",
    },
    built("broker.id", Int, |_, _| text(NODE_ID), "The number of this broker."),
    built("broker.rack", Word, |_, _| None, "There is one node, in no rack."),
    built(
        "connections.max.idle.ms",
        Long,
        |_, _| ms(KAFKA_IDLE_MAX),
        "A connection that says nothing ends then.",
    ),
    built("default.replication.factor", Int, |_, _| text(1), "One node holds one copy."),
    built("delete.topic.enable", Boolean, |_, _| text(true), "Topics can be deleted."),
    built("fetch.max.bytes", Int, |_, _| text(KAFKA_FETCH_BYTES_MAX), "The most that answers one fetch."),
    built("group.consumer.assignors", List, |_, _| text("uniform,range"), "Ways to assign of the server."),
    built(
        "group.consumer.heartbeat.interval.ms",
        Int,
        |_, _| text(HEARTBEAT_INTERVAL.default),
        "Heartbeats of groups that do not say.",
    ),
    built("group.consumer.max.heartbeat.interval.ms", Int, |_, _| text(15_000), "The most for a group."),
    built("group.consumer.max.session.timeout.ms", Int, |_, _| text(60_000), "The most for a group."),
    Fixed {
        name: "group.consumer.max.size",
        kind: Int,
        value: |door, _| text(door.groups().options().rules.members_max),
        knob: Some(("groups.max_size", |door| {
            door.groups().options().rules.members_max != groups::Options::default().rules.members_max
        })),
        doc: "Members of one group of the consumer protocol.",
    },
    built(
        "group.consumer.migration.policy",
        Word,
        |_, _| text("disabled"),
        "A group moves between the protocols while it has no members.",
    ),
    built("group.consumer.min.heartbeat.interval.ms", Int, |_, _| text(5_000), "The least for a group."),
    built("group.consumer.min.session.timeout.ms", Int, |_, _| text(45_000), "The least for a group."),
    built(
        "group.consumer.session.timeout.ms",
        Int,
        |_, _| text(SESSION_TIMEOUT.default),
        "Session timeout of groups that do not say.",
    ),
    built(
        "group.coordinator.rebalance.protocols",
        List,
        |_, _| text("classic,consumer"),
        "Protocols of groups.",
    ),
    Fixed {
        name: "group.initial.rebalance.delay.ms",
        kind: Int,
        value: |door, _| text(door.groups().options().rules.initial_delay_ms),
        knob: Some(("groups.initial_rebalance_delay", |door| {
            door.groups().options().rules.initial_delay_ms
                != groups::Options::default().rules.initial_delay_ms
        })),
        doc: "How long a new group waits for more members.",
    },
    built(
        "group.max.session.timeout.ms",
        Int,
        |door, _| text(door.groups().options().session_timeout_max_ms),
        "The most that a member may ask for.",
    ),
    Fixed {
        name: "group.max.size",
        kind: Int,
        value: |door, _| text(door.groups().options().rules.members_max),
        knob: Some(("groups.max_size", |door| {
            door.groups().options().rules.members_max != groups::Options::default().rules.members_max
        })),
        doc: "Members of one group.",
    },
    built(
        "group.min.session.timeout.ms",
        Int,
        |door, _| text(door.groups().options().session_timeout_min_ms),
        "The least that a member may ask for.",
    ),
    built(
        "listeners",
        List,
        |_, ctx| text(format_args!("PLAINTEXT://{}", ctx.peer.local)),
        "Where this door listens.",
    ),
    built(
        "log.dirs",
        Word,
        |door, _| text(door.broker().storage().directory().display()),
        "Where everything is kept.",
    ),
    built(
        "log.retention.check.interval.ms",
        Long,
        |_, _| text(30_000),
        "Between two looks for what is too old.",
    ),
    Fixed {
        name: "max.connections",
        kind: Int,
        value: |door, _| text(door.options().max_connections),
        knob: Some(("kafka.max_connections", |door| {
            door.options().max_connections != Options::default().max_connections
        })),
        doc: "Connections at once; more wait until one ends.",
    },
    built(
        "max.incremental.fetch.session.cache.slots",
        Int,
        |_, _| text(KAFKA_FETCH_SESSIONS_MAX),
        "Fetch sessions at once.",
    ),
    built("node.id", Int, |_, _| text(NODE_ID), "The number of this broker."),
    Fixed {
        name: "num.partitions",
        kind: Int,
        value: |door, _| text(door.options().num_partitions),
        knob: Some(("kafka.num_partitions", |door| {
            door.options().num_partitions != Options::default().num_partitions
        })),
        doc: "Partitions of a topic whose creator does not say how many.",
    },
    built(
        "offset.metadata.max.bytes",
        Int,
        |_, _| text(OFFSET_METADATA_MAX),
        "Text beside a committed offset.",
    ),
    built(
        "offsets.retention.check.interval.ms",
        Long,
        |door, _| text(door.groups().options().look_through_ms),
        "Between two looks for offsets that nobody uses.",
    ),
    Fixed {
        name: "offsets.retention.minutes",
        kind: Int,
        value: |door, _| text(door.groups().options().offsets_kept_ms / 60_000),
        knob: Some(("groups.offsets_retention", |door| {
            door.groups().options().offsets_kept_ms != groups::Options::default().offsets_kept_ms
        })),
        doc: "How long the offsets of a group without members are kept.",
    },
    built("process.roles", List, |_, _| text("broker,controller"), "One node is both."),
    built("producer.id.expiration.ms", Int, |_, _| ms(PRODUCER_KEPT), "A silent producer is forgotten then."),
    built("sasl.enabled.mechanisms", List, |_, _| text(""), "There are no users."),
    built("security.inter.broker.protocol", Word, |_, _| text("PLAINTEXT"), "There is no TLS."),
    built(
        "socket.request.max.bytes",
        Int,
        |_, _| text(KAFKA_REQUEST_BYTES_MAX),
        "The largest request, a produce.",
    ),
    built(
        "transaction.max.timeout.ms",
        Int,
        |_, _| ms(TRANSACTION_TIMEOUT_MAX),
        "The most that a producer may ask for.",
    ),
    built(
        "transaction.partition.verification.enable",
        Boolean,
        |_, _| text(true),
        "Partitions belong to a transaction.",
    ),
    built(
        "transactional.id.expiration.ms",
        Int,
        |_, _| ms(TRANSACTIONAL_ID_KEPT),
        "A silent transactional id is forgotten then.",
    ),
];

const fn built(
    name: &'static str,
    kind: ConfigKind,
    value: fn(&Door, &RequestContext) -> Option<String>,
    doc: &'static str,
) -> Fixed {
    Fixed { name, kind, value, knob: None, doc }
}

fn text(value: impl Display) -> Option<String> {
    Some(value.to_string())
}

fn ms(time: Duration) -> Option<String> {
    text(time.as_millis())
}

/// Every setting of this broker, in name order.
pub(super) fn settings(door: &Door, ctx: &RequestContext) -> Vec<Setting> {
    let fixed = FIXED.iter().map(|fixed| fixed.describe(door, ctx));
    let mut settings: Vec<_> = fixed.chain(Layers::of(door).of_broker()).collect();
    settings.sort_unstable_by_key(|setting| setting.name);
    settings
}

/// Refuses names of settings that are there and fixed; unknown ones pass.
///
/// # Errors
/// `InvalidRequest`, as in Kafka, with the server's setting to change instead.
pub(super) fn check_can_be_altered<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    for name in names {
        let Some(fixed) = FIXED.iter().find(|fixed| fixed.name == name) else { continue };
        let why = match fixed.knob {
            Some((knob, _)) => format!(
                "config `{name}` cannot be altered while the server runs; change its setting `{knob}` and start it again"
            ),
            None => format!("config `{name}` cannot be altered: it is how this server is built"),
        };
        return Err(Refusal::new(ErrorCode::InvalidRequest, why));
    }
    Ok(())
}

impl Fixed {
    fn describe(&self, door: &Door, ctx: &RequestContext) -> Setting {
        let value = (self.value)(door, ctx);
        let is_set = self.knob.is_some_and(|(_, is_set)| is_set(door));
        let source = if is_set { Source::Static } else { Source::Default };
        let synonym = Synonym { name: self.name, value: value.clone(), source };
        Setting {
            name: self.name,
            value,
            source,
            kind: self.kind,
            is_read_only: true,
            synonyms: vec![synonym],
            documentation: self.doc.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_in_alphabetical_order() {
        let names = FIXED.each_ref().map(|fixed| fixed.name);
        let mut sorted = names;
        sorted.sort_unstable();
        assert_eq!(names, sorted);
    }

    #[test]
    fn a_fixed_setting_is_refused_with_the_one_to_change() {
        let refused = |name: &str| check_can_be_altered([name.to_owned()].iter()).unwrap_err();
        let expected = "config `num.partitions` cannot be altered while the server runs; change its setting \
                        `kafka.num_partitions` and start it again";
        assert_eq!(refused("num.partitions"), Refusal::new(ErrorCode::InvalidRequest, expected));
        let expected = "config `node.id` cannot be altered: it is how this server is built";
        assert_eq!(refused("node.id"), Refusal::new(ErrorCode::InvalidRequest, expected));
        assert_eq!(check_can_be_altered(["log.retention.ms".to_owned()].iter()), Ok(()));
    }
}

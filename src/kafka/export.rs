//! What monitoring of Kafka asks for, under the names of `kafka_exporter`, which dashboards, alerts and autoscalers query.
//! Rendered as text from what is there now, so that a deleted topic or group leaves nothing behind.
//!
//! Reference: <https://github.com/danielqsj/kafka_exporter>.

use std::fmt::{Display, Write as _};

use crate::broker::Broker;
use crate::groups::{FetchOffsets, GroupId};
use crate::telemetry::exposition::Family;

/// Lines about groups in one answer (a guess: a few MiB of text). What does not fit is left out, and said so.
const GROUP_LINES_MAX: usize = 50_000;

/// The metrics of topics and groups, in the text format of Prometheus.
pub fn render_metrics(broker: &Broker) -> String {
    let mut text = String::new();
    topics(&mut text, broker);
    groups(&mut text, broker);
    text
}

fn topics(text: &mut String, broker: &Broker) {
    let topics = broker.topics();
    let logs = || topics.iter().flat_map(|t| t.logs().iter().map(move |log| (t.name(), log)));
    let mut brokers = Family::gauge("kafka_brokers", "Brokers of the cluster");
    let _ = writeln!(brokers.lines, "kafka_brokers 1");
    let mut partitions = Family::gauge("kafka_topic_partitions", "Partitions of a topic");
    for topic in &topics {
        partitions.line(&[("topic", topic.name())], topic.topic.partitions);
    }
    let mut ends =
        Family::gauge("kafka_topic_partition_current_offset", "First offset that is not written yet");
    let mut starts = Family::gauge("kafka_topic_partition_oldest_offset", "First offset that is kept");
    for (topic, log) in logs() {
        let labels: [(&str, &dyn Display); 2] = [("partition", &log.partition()), ("topic", topic)];
        ends.line(&labels, log.tail());
        starts.line(&labels, log.start());
    }
    for family in [brokers, partitions, ends, starts] {
        family.end(text);
    }
}

fn groups(text: &mut String, broker: &Broker) {
    let mut members = Family::gauge("kafka_consumergroup_members", "Members of a group");
    let mut offsets =
        Family::gauge("kafka_consumergroup_current_offset", "Offset that a group reads next, as committed");
    let mut lags =
        Family::gauge("kafka_consumergroup_lag", "Records between it and the end of the partition");
    let mut sums = Family::gauge("kafka_consumergroup_lag_sum", "The same for all partitions of a topic");
    let mut left = GROUP_LINES_MAX;
    for group in broker.groups().list() {
        members.line(&[("consumergroup", &group.id)], group.members);
        for (topic, committed) in committed(broker, &group.id) {
            let mut sum = 0;
            for (partition, offset, lag) in committed {
                let labels: [(&str, &dyn Display); 3] =
                    [("consumergroup", &group.id), ("partition", &partition), ("topic", &topic)];
                offsets.line(&labels, offset);
                lags.line(&labels, lag);
                sum += lag;
                left = left.saturating_sub(1);
            }
            sums.line(&[("consumergroup", &group.id), ("topic", &topic)], sum);
        }
        if left == 0 {
            let _ = writeln!(members.lines, "# more groups are left out: too many lines");
            break;
        }
    }
    for family in [members, offsets, lags, sums] {
        family.end(text);
    }
}

/// Partition, offset and lag of what a group has committed.
type Committed = (i32, i64, u64);

/// What a group has committed by topic, for partitions that are still there.
fn committed(broker: &Broker, group: &GroupId) -> Vec<(String, Vec<Committed>)> {
    let request = FetchOffsets { group: group.clone(), member: None, topics: None, require_stable: false };
    let mut found = Vec::new();
    for topic in broker.groups().fetch_offsets(&request).unwrap_or_default() {
        let Some(handle) = broker.readable_named(&topic.topic) else { continue };
        let lag = |partition: i32, offset: i64| {
            let log = u32::try_from(partition).ok().and_then(|p| handle.log(p))?;
            Some(log.tail().saturating_sub(u64::try_from(offset).unwrap_or(0)))
        };
        let partitions = topic.partitions.iter().filter_map(|at| {
            let offset = at.committed.as_ref().ok()?.as_ref()?.offset;
            Some((at.partition, offset, lag(at.partition, offset)?))
        });
        found.push((topic.topic.to_string(), partitions.collect()));
    }
    found
}

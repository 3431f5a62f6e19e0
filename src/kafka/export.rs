//! What monitoring of Kafka asks for, under the names of `kafka_exporter`, which dashboards, alerts and autoscalers query.
//! Rendered as text from what is there now, so that a deleted topic leaves nothing behind.
//!
//! Reference: <https://github.com/danielqsj/kafka_exporter>.

use std::fmt::Write as _;

use crate::broker::Broker;

/// The metrics of topics, in the text format of Prometheus.
pub fn render_metrics(broker: &Broker) -> String {
    let mut text = String::new();
    let topics = broker.topics();
    family(&mut text, "kafka_brokers", "Brokers of the cluster");
    let _ = writeln!(text, "kafka_brokers 1");
    family(&mut text, "kafka_topic_partitions", "Partitions of a topic");
    for topic in &topics {
        let _ =
            writeln!(text, "kafka_topic_partitions{{topic=\"{}\"}} {}", topic.name(), topic.topic.partitions);
    }
    family(&mut text, "kafka_topic_partition_current_offset", "First offset that is not written yet");
    for (topic, log) in topics.iter().flat_map(|t| t.logs().iter().map(move |log| (t.name(), log))) {
        line(&mut text, "kafka_topic_partition_current_offset", topic.as_str(), log.partition(), log.tail());
    }
    family(&mut text, "kafka_topic_partition_oldest_offset", "First offset that is kept");
    for (topic, log) in topics.iter().flat_map(|t| t.logs().iter().map(move |log| (t.name(), log))) {
        line(&mut text, "kafka_topic_partition_oldest_offset", topic.as_str(), log.partition(), log.start());
    }
    text
}

fn family(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}

/// Names of topics hold nothing that would need an escape.
fn line(text: &mut String, name: &str, topic: &str, partition: u32, value: u64) {
    let _ = writeln!(text, "{name}{{partition=\"{partition}\",topic=\"{topic}\"}} {value}");
}

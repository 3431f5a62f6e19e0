//! Guest logs: lines of all deployments in one internal topic, as plain JSON, so that they are read and followed like
//! any other topic. A deployment's rate is bounded, and what was left out is said.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::broker::{Broker, NewTopic, TopicError};
use crate::model::batch::BatchBuilder;
use crate::model::limits::LOG_LINE_BYTES_MAX;
use crate::model::topic::TopicConfig;
use crate::model::{DeploymentName, Partition, TopicName};
use crate::runtime::clock::Clock;
use crate::runtime::tasks;
use crate::storage::Commit;
use crate::wasm::{LogLevel, LogSink};

/// Lines that wait to be stored. More are dropped and counted with those over the rate.
const QUEUE_LINES: usize = 4096;
/// Lines of one commit.
const COMMIT_LINES: usize = 512;

/// The internal topic with the lines.
pub fn logs_topic() -> TopicName {
    TopicName::parse("__millstream_logs").expect("a literal that follows the rule")
}

/// A line as stored: the value of a record whose key is the deployment.
#[derive(Debug, Serialize)]
struct Line<'a> {
    timestamp: i64,
    deployment: &'a DeploymentName,
    /// the task; inline, the partition that was produced to
    partition: Partition,
    level: &'static str,
    text: &'a str,
}

struct Queued {
    timestamp: i64,
    key: String,
    value: Vec<u8>,
}

/// Stores lines; deployments get their sinks from it.
#[derive(Clone)]
pub(super) struct Logs {
    sender: mpsc::Sender<Queued>,
    clock: Clock,
}

impl Logs {
    /// Makes sure of the topic and starts the task that stores lines. It ends when the last sink is gone.
    pub(super) async fn start(broker: &Broker) -> Result<Self, TopicError> {
        let settings = [("durability", "os"), ("retention.bytes", "104857600"), ("compression.type", "lz4")];
        let config = TopicConfig::parse(settings)?;
        broker.ensure_internal(NewTopic::new(logs_topic(), 1, config)).await?;
        let (sender, receiver) = mpsc::channel(QUEUE_LINES);
        tasks::spawn("guest logs", store(broker.clone(), receiver));
        Ok(Self { sender, clock: broker.clock().clone() })
    }

    /// The log of a deployment; its instances share the rate, lines in one second.
    pub(super) fn deployment(&self, deployment: &DeploymentName, lines_max: u32) -> DeploymentLog {
        DeploymentLog { logs: self.clone(), deployment: deployment.clone(), lines_max, rate: Arc::default() }
    }
}

/// Stores lines as they come, many in one commit.
async fn store(broker: Broker, mut lines: mpsc::Receiver<Queued>) {
    let mut ready = Vec::with_capacity(COMMIT_LINES);
    while lines.recv_many(&mut ready, COMMIT_LINES).await > 0 {
        let Ok(topic) = broker.topic(logs_topic().as_str()) else { return };
        let Some(log) = topic.log(0) else { return };
        let mut builder = BatchBuilder::new();
        for line in ready.drain(..) {
            builder.push(line.timestamp, Some(line.key.as_bytes()), Some(&line.value), []);
        }
        let mut commit = Commit::new();
        if let Some(batch) = builder.finish(topic.topic.config.codec()) {
            commit.append(log, batch);
        }
        if let Err(error) = broker.storage().commit(commit).await {
            tracing::warn!(%error, "guest log lines could not be stored");
        }
    }
}

/// One second's count.
#[derive(Default)]
struct Rate {
    second: i64,
    lines: u32,
    dropped: u64,
}

/// Makes the sinks of a deployment's instances.
#[derive(Clone)]
pub(super) struct DeploymentLog {
    logs: Logs,
    deployment: DeploymentName,
    lines_max: u32,
    rate: Arc<Mutex<Rate>>,
}

impl DeploymentLog {
    /// The sink of the instance that serves this partition.
    pub(super) fn instance(&self, partition: Partition) -> Arc<dyn LogSink> {
        Arc::new(Sink { log: self.clone(), partition })
    }

    /// Admits a line of this second, and gives the number of lines to report as left out in an earlier one.
    fn admit(&self, now_ms: i64) -> (bool, u64) {
        let mut rate = self.rate.lock();
        let second = now_ms / 1000;
        let mut report = 0;
        if rate.second != second {
            report = rate.dropped;
            *rate = Rate { second, lines: 0, dropped: 0 };
        }
        if rate.lines >= self.lines_max {
            rate.dropped += 1;
            return (false, report);
        }
        rate.lines += 1;
        (true, report)
    }
}

struct Sink {
    log: DeploymentLog,
    partition: Partition,
}

impl Sink {
    fn send(&self, timestamp: i64, level: &'static str, text: &str) -> bool {
        let DeploymentLog { logs, deployment, .. } = &self.log;
        let line = Line { timestamp, deployment, partition: self.partition, level, text };
        let Ok(value) = serde_json::to_vec(&line) else { return false };
        logs.sender.try_send(Queued { timestamp, key: deployment.to_string(), value }).is_ok()
    }
}

impl LogSink for Sink {
    fn write(&self, level: LogLevel, text: String) {
        let now_ms = self.log.logs.clock.now_ms();
        let (admitted, left_out) = self.log.admit(now_ms);
        if left_out > 0 {
            let text = format!(
                "{left_out} lines were left out: more than {} in one second (`limits.log_lines`)",
                self.log.lines_max
            );
            self.send(now_ms, "warn", &text);
        }
        if !admitted {
            return;
        }
        if !self.send(now_ms, level_name(level), cut(&text, LOG_LINE_BYTES_MAX)) {
            self.log.rate.lock().dropped += 1;
        }
    }
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// At most `bytes` of the text, cut between characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("a", 9), "a");
    }

    #[tokio::test]
    async fn lines_over_the_rate_are_counted_and_reported() {
        let (sender, mut receiver) = mpsc::channel(QUEUE_LINES);
        let (clock, hand) = Clock::manual(5_000);
        let logs = Logs { sender, clock };
        let sink = logs.deployment(&DeploymentName::parse("d").unwrap(), 10).instance(0);
        for _ in 0..10 + 7 {
            sink.write(LogLevel::Info, "hello".into());
        }
        hand.advance_ms(1_000);
        sink.write(LogLevel::Info, "again".into());
        drop((sink, logs));
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(String::from_utf8(line.value).unwrap());
        }
        assert_eq!(lines.len(), 10 + 2);
        assert!(lines[lines.len() - 2].contains("7 lines were left out"), "{}", lines[lines.len() - 2]);
    }
}

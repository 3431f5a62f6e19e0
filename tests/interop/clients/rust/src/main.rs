//! rust-rdkafka behind the command line that all adapters share; see tests/interop/README.md.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{Engine, BASE64_STANDARD};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer,
};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use serde_json::{json, Value};

const PATIENCE: Duration = Duration::from_secs(60);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Remembers whether any record failed.
#[derive(Clone, Default)]
struct Deliveries(Arc<AtomicBool>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            eprintln!("not delivered: {error}");
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

fn settings(bootstrap: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", bootstrap).set("broker.address.family", "v4");
    settings
}

fn unpacked(value: &Value) -> Outcome<Option<Vec<u8>>> {
    Ok(value.as_str().map(|text| BASE64_STANDARD.decode(text)).transpose()?)
}

fn packed(bytes: Option<&[u8]>) -> Value {
    bytes.map(|b| BASE64_STANDARD.encode(b)).into()
}

fn tell(message: &BorrowedMessage<'_>) -> Outcome<()> {
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|h| json!([h.key, packed(h.value)])).collect::<Vec<_>>());
    let line = json!({
        "topic": message.topic(), "partition": message.partition(), "offset": message.offset(),
        "key": packed(message.key()), "value": packed(message.payload()), "headers": headers.unwrap_or_default(),
        "timestamp": message.timestamp().to_millis(),
    });
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

fn send(producer: &ThreadedProducer<Deliveries>, topic: &str, record: &Value) -> Outcome<()> {
    let (key, value) = (unpacked(&record["key"])?, unpacked(&record["value"])?);
    let mut headers = OwnedHeaders::new();
    for pair in record["headers"].as_array().ok_or("no headers")? {
        let (name, content) = (pair[0].as_str().ok_or("no header name")?, unpacked(&pair[1])?);
        headers = headers.insert(Header { key: name, value: content.as_ref() });
    }
    let mut made = BaseRecord::<[u8], [u8]>::to(topic).headers(headers);
    made = made.partition(i32::try_from(record["partition"].as_i64().ok_or("no partition")?)?);
    made = made.timestamp(record["timestamp"].as_i64().ok_or("no timestamp")?);
    made = key.as_deref().into_iter().fold(made, BaseRecord::key);
    made = value.as_deref().into_iter().fold(made, BaseRecord::payload);
    producer.send(made).map_err(|(error, _)| error)?;
    Ok(())
}

fn lines() -> impl Iterator<Item = Outcome<Value>> {
    std::io::stdin().lock().lines().map(|line| Ok(serde_json::from_str(&line?)?))
}

fn produce(bootstrap: &str, words: &[String]) -> Outcome<()> {
    let records = lines().collect::<Outcome<Vec<_>>>()?;
    for topic_and_codec in words.chunks(2) {
        let failed = Deliveries::default();
        let producer: ThreadedProducer<_> = settings(bootstrap)
            .set("compression.type", &topic_and_codec[1])
            .set("linger.ms", "5")
            .create_with_context(failed.clone())?;
        for record in &records {
            send(&producer, &topic_and_codec[0], record)?;
        }
        producer.flush(PATIENCE)?;
        if failed.0.load(Ordering::SeqCst) {
            return Err("some records were not delivered".into());
        }
    }
    Ok(())
}

fn consume(bootstrap: &str, words: &[String], isolation: &str) -> Outcome<()> {
    let consumer: BaseConsumer = settings(bootstrap)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation)
        .create()?;
    let (mut missing, mut assignment) = (BTreeMap::new(), TopicPartitionList::new());
    for topic_and_count in words.chunks(2) {
        let topic = topic_and_count[0].as_str();
        missing.insert(topic.to_owned(), topic_and_count[1].parse::<i64>()?);
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
            assignment.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
    }
    consumer.assign(&assignment)?;
    let mut last = Instant::now();
    while missing.values().any(|n| *n > 0) {
        if last.elapsed() > PATIENCE {
            return Err(format!("not there after a minute: {missing:?}").into());
        }
        if let Some(message) = consumer.poll(Duration::from_millis(500)) {
            let message = message?;
            last = Instant::now();
            *missing.get_mut(message.topic()).ok_or("a foreign topic")? -= 1;
            tell(&message)?;
        }
    }
    Ok(())
}

/// Lives until stdin closes; tells every assignment and every record.
fn member(bootstrap: &str, topic: &str, group: &str) -> Outcome<()> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().for_each(drop);
        flag.store(true, Ordering::SeqCst);
    });
    let consumer: BaseConsumer = settings(bootstrap)
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "8000")
        .set("heartbeat.interval.ms", "1000")
        .set("auto.commit.interval.ms", "300")
        .create()?;
    consumer.subscribe(&[topic])?;
    let mut told = None;
    while !ended.load(Ordering::SeqCst) {
        let message = consumer.poll(Duration::from_millis(200)).transpose()?;
        let mut now: Vec<i32> = consumer.assignment()?.elements().iter().map(|e| e.partition()).collect();
        now.sort_unstable();
        if told.as_ref() != Some(&now) {
            println!("{}", json!({ "assigned": now }));
            told = Some(now);
        }
        if let Some(message) = message {
            tell(&message)?;
        }
    }
    Ok(())
}

/// Each line of stdin is one transaction.
fn transact(bootstrap: &str, id: &str, topic: &str) -> Outcome<()> {
    let failed = Deliveries::default();
    let producer: ThreadedProducer<_> =
        settings(bootstrap).set("transactional.id", id).create_with_context(failed.clone())?;
    producer.init_transactions(PATIENCE)?;
    for transaction in lines() {
        let transaction = transaction?;
        producer.begin_transaction()?;
        for record in transaction["records"].as_array().ok_or("no records")? {
            send(&producer, topic, record)?;
        }
        producer.flush(PATIENCE)?;
        if failed.0.load(Ordering::SeqCst) {
            return Err("some records were not delivered".into());
        }
        if transaction["end"] == "commit" {
            producer.commit_transaction(PATIENCE)?;
        } else {
            producer.abort_transaction(PATIENCE)?;
        }
    }
    Ok(())
}

/// Consume, write and commit the position in one transaction per record or few, until n records are copied.
fn copy(bootstrap: &str, words: &[String]) -> Outcome<()> {
    let [from, to, group, id, n] = words else { return Err("copy FROM TO GROUP ID N".into()) };
    let consumer: BaseConsumer = settings(bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()?;
    let producer: BaseProducer = settings(bootstrap).set("transactional.id", id).create()?;
    producer.init_transactions(PATIENCE)?;
    consumer.subscribe(&[from])?;
    let (mut left, mut last) = (n.parse::<i64>()?, Instant::now());
    while left > 0 {
        if last.elapsed() > PATIENCE {
            return Err(format!("{left} records are not there after a minute").into());
        }
        let Some(message) = consumer.poll(Duration::from_millis(500)) else { continue };
        producer.begin_transaction()?;
        let mut next = Some(message?);
        for _ in 0..7 {
            let Some(message) = next else { break };
            let mut made = BaseRecord::<[u8], [u8]>::to(to).partition(message.partition());
            made = message.key().into_iter().fold(made, BaseRecord::key);
            made = message.payload().into_iter().fold(made, BaseRecord::payload);
            producer.send(made).map_err(|(error, _)| error)?;
            left -= 1;
            last = Instant::now();
            next = consumer.poll(Duration::from_millis(0)).transpose()?;
            if next.is_some() && left == 0 {
                return Err("more records than there should be".into());
            }
        }
        if let Some(unused) = next {
            consumer.seek(from, unused.partition(), Offset::Offset(unused.offset()), PATIENCE)?;
        }
        let metadata = consumer.group_metadata().ok_or("no group")?;
        producer.send_offsets_to_transaction(&consumer.position()?, &metadata, PATIENCE)?;
        producer.commit_transaction(PATIENCE)?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, command, rest @ ..] = words.as_slice() else {
        return Err("BOOTSTRAP COMMAND …".into());
    };
    match command.as_str() {
        "produce" => produce(bootstrap, rest),
        "consume" => consume(bootstrap, rest, "read_uncommitted"),
        "consume-committed" => consume(bootstrap, rest, "read_committed"),
        "member" => member(bootstrap, &rest[0], &rest[1]),
        "transact" => transact(bootstrap, &rest[0], &rest[1]),
        "copy" => copy(bootstrap, rest),
        _ => Err(format!("no such command: {command}").into()),
    }
}

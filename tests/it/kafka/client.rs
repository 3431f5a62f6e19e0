//! A client that sends what it is told to, also what no client should.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
    RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchDecoder,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Server;

/// No answer takes longer on purpose.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub(super) async fn connect(server: &Server) -> Result<Self> {
        let stream = TcpStream::connect(server.kafka_address()).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, correlation_id: 0 })
    }

    /// Sends a request; its correlation id.
    pub(super) async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32> {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("it")));
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes, R::header_version(version))?;
        request.encode(&mut bytes, version)?;
        self.send_frame(&bytes).await?;
        Ok(self.correlation_id)
    }

    /// Sends bytes with their length in front.
    pub(super) async fn send_frame(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(&u32::try_from(bytes.len())?.to_be_bytes()).await?;
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next answer's bytes; an error at the end of the connection.
    pub(super) async fn frame(&mut self) -> Result<Bytes> {
        let reading = async {
            let length = self.stream.read_u32().await?;
            let mut bytes = vec![0; length as usize];
            self.stream.read_exact(&mut bytes).await?;
            anyhow::Ok(Bytes::from(bytes))
        };
        tokio::time::timeout(ANSWER_MAX, reading).await.context("no answer came")?
    }

    /// The next answer, with its correlation id.
    pub(super) async fn receive<R: Decodable + HeaderVersion>(&mut self, version: i16) -> Result<(i32, R)> {
        let mut bytes = self.frame().await?;
        let header = ResponseHeader::decode(&mut bytes, R::header_version(version))?;
        let response = R::decode(&mut bytes, version)?;
        ensure!(bytes.is_empty(), "{} bytes after the answer", bytes.len());
        Ok((header.correlation_id, response))
    }

    /// Sends a request and gives its answer.
    pub(super) async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        let sent = self.send(version, request).await?;
        let (received, response) = self.receive::<R::Response>(version).await?;
        ensure!(sent == received, "answer {received} to request {sent}");
        Ok(response)
    }

    /// Waits until the server ends the connection without another word.
    pub(super) async fn closed(&mut self) -> Result<()> {
        let mut byte = [0];
        let read = tokio::time::timeout(ANSWER_MAX, self.stream.read(&mut byte)).await;
        match read.context("the connection stays open")? {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            other => anyhow::bail!("{other:?} instead of the end"),
        }
    }

    /// Metadata of topics by name; of all of them without.
    pub(super) async fn metadata(
        &mut self,
        version: i16,
        topics: Option<&[&str]>,
    ) -> Result<MetadataResponse> {
        let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let topics = topics.map(|names| names.iter().map(topic).collect());
        self.ask(version, &MetadataRequest::default().with_topics(topics)).await
    }

    /// Produces one batch; the partition's result.
    pub(super) async fn produce(&mut self, topic: &str, batch: Bytes) -> Result<PartitionProduceResponse> {
        let response = self.ask(9, &produce(topic, 0, batch, -1)).await?;
        one_result(response)
    }

    /// Fetches from partition 0 without a session; its data.
    pub(super) async fn fetch(&mut self, topic: &str, offset: i64) -> Result<PartitionData> {
        one_partition(self.ask(12, &fetch(topic, offset)).await?)
    }
}

/// A server with these topics, and a connection.
pub(super) async fn started(topics: &[(&str, u32)]) -> Result<(Server, Client)> {
    let server = Server::start().await?;
    for (name, partitions) in topics {
        server.topic(name, *partitions).await?;
    }
    let client = Client::connect(&server).await?;
    Ok((server, client))
}

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub(super) fn produce(topic: &str, partition: i32, batch: Bytes, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(1_000).with_topic_data(vec![topic])
}

pub(super) fn one_result(response: ProduceResponse) -> Result<PartitionProduceResponse> {
    let topic = response.responses.into_iter().next().context("a topic")?;
    topic.partition_responses.into_iter().next().context("a partition")
}

/// A fetch without a session, of partition 0, that does not wait.
pub(super) fn fetch(topic: &str, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default().with_session_epoch(-1).with_max_bytes(1 << 20).with_topics(vec![topic])
}

pub(super) fn one_partition(response: FetchResponse) -> Result<PartitionData> {
    ensure!(response.error_code == 0, "error {}", response.error_code);
    let topic = response.responses.into_iter().next().context("a topic")?;
    topic.partitions.into_iter().next().context("a partition")
}

/// A batch of records with these values and no keys.
pub(super) fn batch(values: &[&str], compression: Compression) -> Bytes {
    let records: Vec<_> = values.iter().enumerate().map(|(index, value)| record(index, value)).collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("records encode");
    bytes.freeze()
}

/// A record without a key.
pub(super) fn record(index: usize, value: &str) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: index as i64,
        // The oracle makes one batch of records whose sequences follow each other.
        sequence: index as i32,
        timestamp: 1_000 + index as i64,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Default::default(),
    }
}

/// Offsets and values of fetched batches.
pub(super) fn values(data: &PartitionData) -> Result<Vec<(i64, String)>> {
    let mut bytes = data.records.clone().unwrap_or_default();
    let sets = RecordBatchDecoder::decode_all(&mut bytes)?;
    let text =
        |record: &Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
    Ok(sets.iter().flat_map(|set| &set.records).map(|record| (record.offset, text(record))).collect())
}

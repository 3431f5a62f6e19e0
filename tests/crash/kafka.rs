//! A client of Kafka's protocol: requests over a socket, a transactional producer in both versions of transactions, and a
//! reader that knows the isolation levels as clients do.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream::kafka::wire::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use millstream::kafka::wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use millstream::kafka::wire::messages::end_txn::EndTxnRequest;
use millstream::kafka::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use millstream::kafka::wire::messages::init_producer_id::InitProducerIdRequest;
use millstream::kafka::wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use millstream::kafka::wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use millstream::kafka::wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use millstream::kafka::wire::{Message, Request, decode_message, encode_request};
use millstream::model::batch::{
    BatchBuilder, BatchError, BatchHeader, Codec, MarkerKind, ProducerStamp, RecordBatch,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const UNCOMPRESSED_MAX: usize = 1 << 22;
/// Another change of the transactional id is under way: to be asked again.
const CONCURRENT: i16 = 51;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// what was asked for may have been done
    #[error("there was no answer")]
    Lost,
    #[error("{0} was refused with code {1}")]
    Refused(&'static str, i16),
    #[error("a wrong answer: {0}")]
    Wrong(String),
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Self {
        Self::Wrong(error.to_string())
    }
}

pub(crate) type Outcome<T> = Result<T, Failure>;

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
}

/// Key and value.
pub(crate) type Pair = (Option<String>, Option<String>);

/// A record as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Read {
    pub(crate) offset: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

/// What was read of a partition.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<Read>,
    /// where the next read begins
    pub(crate) next: i64,
    /// how far this reader can see
    pub(crate) end: i64,
}

fn refused(api: &'static str, code: i16) -> Outcome<()> {
    if code == 0 { Ok(()) } else { Err(Failure::Refused(api, code)) }
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await.map_err(|_| Failure::Lost)?;
        stream.set_nodelay(true).map_err(|_| Failure::Lost)?;
        Ok(Self { stream })
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Outcome<R::Response> {
        let frame = encode_request(1, None, version, request).expect("a request that can be written");
        let bytes = self.exchange(&frame.into_bytes()).await.map_err(|_| Failure::Lost)?;
        // The correlation id, and from the flexible versions on no tagged fields.
        let header = if <R::Response as Message>::FLEXIBLE.contain(version) { 5 } else { 4 };
        Ok(decode_message(bytes.slice(header..), version).expect("an answer that can be read"))
    }

    async fn exchange(&mut self, frame: &[u8]) -> std::io::Result<Bytes> {
        self.stream.write_all(frame).await?;
        let length = self.stream.read_u32().await?;
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes.into())
    }

    /// Records from an offset on, as many as one fetch gives. `committed`: those outside of transactions and of committed
    /// ones.
    pub(crate) async fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        from: i64,
        committed: bool,
        bytes_max: i32,
    ) -> Outcome<Page> {
        let wanted = FetchPartition {
            partition,
            fetch_offset: from,
            partition_max_bytes: bytes_max,
            ..FetchPartition::default()
        };
        let request = FetchRequest {
            max_bytes: bytes_max,
            isolation_level: i8::from(committed),
            topics: vec![FetchTopic {
                topic: topic.into(),
                partitions: vec![wanted],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        let mut response = self.ask(12, &request).await?;
        let data = response.responses.remove(0).partitions.remove(0);
        refused("Fetch", data.error_code)?;
        let aborted = data.aborted_transactions.unwrap_or_default();
        let mut aborted: Vec<_> = aborted.iter().map(|a| (a.first_offset, a.producer_id)).collect();
        if !aborted.is_sorted_by_key(|a| a.0) {
            return Err(Failure::Wrong(format!("aborted transactions out of order: {aborted:?}")));
        }
        aborted.reverse();
        let end = if committed { data.last_stable_offset } else { data.high_watermark };
        let mut page = Page { next: from, end, ..Page::default() };
        // Producers whose transaction at this place was aborted.
        let mut lost = BTreeSet::new();
        for batch in batches(data.records.unwrap_or_default().batches().concat().into())? {
            let header = *batch.header();
            while aborted.last().is_some_and(|a| a.0 <= header.base_offset as i64) {
                lost.extend(aborted.pop().map(|a| a.1));
            }
            if MarkerKind::of(&batch)? == Some(MarkerKind::Abort) {
                lost.remove(&header.producer_id);
            }
            page.next = header.next_offset() as i64;
            if header.control || (header.transactional && lost.contains(&header.producer_id)) {
                continue;
            }
            for record in batch.payload(UNCOMPRESSED_MAX)?.records() {
                let record = record?;
                let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
                let offset = (header.base_offset + u64::from(record.offset_delta)) as i64;
                if offset >= from {
                    page.records.push(Read { offset, key: text(record.key), value: text(record.value) });
                }
            }
        }
        Ok(page)
    }

    /// Everything that a reader sees of a partition.
    pub(crate) async fn read_all(&mut self, topic: &str, partition: i32, committed: bool) -> Outcome<Page> {
        let mut all = self.fetch(topic, partition, 0, committed, 1 << 20).await?;
        while all.next < all.end {
            let more = self.fetch(topic, partition, all.next, committed, 1 << 20).await?;
            if more.next <= all.next {
                let what = format!("{topic}/{partition} ends at {}, before {}", all.next, all.end);
                return Err(Failure::Wrong(what));
            }
            all.records.extend(more.records);
            (all.next, all.end) = (more.next, more.end);
        }
        Ok(all)
    }

    /// The stable offsets that a group has committed; partitions without one are left out.
    pub(crate) async fn committed(
        &mut self,
        group: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Outcome<BTreeMap<i32, i64>> {
        let topics = vec![OffsetFetchRequestTopics {
            name: topic.into(),
            partition_indexes: partitions.to_vec(),
            ..Default::default()
        }];
        let group =
            OffsetFetchRequestGroup { group_id: group.into(), topics: Some(topics), ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
        let mut response = self.ask(8, &request).await?;
        let mut offsets = BTreeMap::new();
        for partition in response.groups.remove(0).topics.remove(0).partitions {
            refused("OffsetFetch", partition.error_code)?;
            if partition.committed_offset >= 0 {
                offsets.insert(partition.partition_index, partition.committed_offset);
            }
        }
        Ok(offsets)
    }
}

/// The batches that lie one after the other in these bytes.
fn batches(mut bytes: Bytes) -> Result<Vec<RecordBatch>, BatchError> {
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let size = BatchHeader::read(&bytes)?.size;
        batches.push(RecordBatch::parse(bytes.split_to(size))?);
    }
    Ok(batches)
}

/// A transactional producer, for as long as its connection lives.
pub(crate) struct Session {
    client: Client,
    name: String,
    /// transactions of version 2
    joins: bool,
    id: i64,
    epoch: i16,
    /// of the next record, by topic and partition
    sequences: BTreeMap<(&'static str, i32), i32>,
    /// what version 1 has added to the open transaction
    added: BTreeSet<(&'static str, i32)>,
}

impl Session {
    /// Begins; whatever transaction of this name was open is aborted.
    pub(crate) async fn begin(address: &str, name: &str, joins: bool) -> Outcome<Self> {
        let mut client = Client::connect(address).await?;
        let request = InitProducerIdRequest {
            transactional_id: Some(name.into()),
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        let response = client.ask(4, &request).await?;
        refused("InitProducerId", response.error_code)?;
        let (id, epoch) = (response.producer_id, response.producer_epoch);
        let (sequences, added) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { client, name: name.to_owned(), joins, id, epoch, sequences, added })
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Connects again, in the middle of its transaction.
    pub(crate) async fn reconnect(&mut self, address: &str) -> Outcome<()> {
        self.client = Client::connect(address).await?;
        Ok(())
    }

    /// Writes a batch into the transaction.
    pub(crate) async fn write(&mut self, topic: &'static str, partition: i32, pairs: &[Pair]) -> Outcome<()> {
        if !self.joins && !self.added.contains(&(topic, partition)) {
            let topics = vec![AddPartitionsToTxnTopic { name: topic.into(), partitions: vec![partition] }];
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: self.name.as_str().into(),
                v3_and_below_producer_id: self.id,
                v3_and_below_producer_epoch: self.epoch,
                v3_and_below_topics: topics,
                ..Default::default()
            };
            let response = self.client.ask(3, &request).await?;
            let result = &response.results_by_topic_v3_and_below[0].results_by_partition[0];
            refused("AddPartitionsToTxn", result.partition_error_code)?;
            self.added.insert((topic, partition));
        }
        let sequence = self.sequences.entry((topic, partition)).or_default();
        let mut builder = BatchBuilder::new();
        builder.producer(ProducerStamp {
            id: self.id,
            epoch: self.epoch,
            base_sequence: *sequence,
            transactional: true,
        });
        for (key, value) in pairs {
            let bytes = |text: &Option<String>| text.as_ref().map(|t| t.as_bytes().to_vec());
            builder.push(now_ms(), bytes(key).as_deref(), bytes(value).as_deref(), []);
        }
        let records = builder.finish(Codec::None).map(|batch| batch.bytes().clone());
        let request = ProduceRequest {
            transactional_id: Some(self.name.as_str().into()),
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![TopicProduceData {
                name: topic.into(),
                partition_data: vec![PartitionProduceData { index: partition, records }],
                ..Default::default()
            }],
        };
        let response = self.client.ask(if self.joins { 12 } else { 11 }, &request).await?;
        refused("Produce", response.responses[0].partition_responses[0].error_code)?;
        *sequence += i32::try_from(pairs.len()).unwrap_or(0);
        Ok(())
    }

    /// Commits positions of a group with the transaction.
    pub(crate) async fn keep_offsets(
        &mut self,
        group: &str,
        topic: &str,
        offsets: &BTreeMap<i32, i64>,
    ) -> Outcome<()> {
        if !self.joins {
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.name.as_str().into(),
                producer_id: self.id,
                producer_epoch: self.epoch,
                group_id: group.into(),
            };
            refused("AddOffsetsToTxn", self.client.ask(4, &request).await?.error_code)?;
        }
        let partition = |(&partition_index, &committed_offset): (&i32, &i64)| {
            TxnOffsetCommitRequestPartition { partition_index, committed_offset, ..Default::default() }
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: self.name.as_str().into(),
            group_id: group.into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: topic.into(),
                partitions: offsets.iter().map(partition).collect(),
            }],
            ..Default::default()
        };
        let response = self.client.ask(if self.joins { 5 } else { 4 }, &request).await?;
        response.topics[0]
            .partitions
            .iter()
            .try_for_each(|partition| refused("TxnOffsetCommit", partition.error_code))
    }

    /// Ends the transaction; after `Lost` the same may be asked again.
    pub(crate) async fn end(&mut self, committed: bool) -> Outcome<()> {
        let request = EndTxnRequest {
            transactional_id: self.name.as_str().into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
        };
        let response = loop {
            let response = self.client.ask(if self.joins { 5 } else { 4 }, &request).await?;
            if response.error_code != CONCURRENT {
                break response;
            }
        };
        refused("EndTxn", response.error_code)?;
        self.added.clear();
        if self.joins {
            (self.id, self.epoch) = (response.producer_id, response.producer_epoch);
            self.sequences.clear();
        }
        Ok(())
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

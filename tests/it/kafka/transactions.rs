//! Transactions as clients see them: what is committed, what is not, who is fenced; in both versions.

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ApiVersionsRequest, EndTxnRequest, EndTxnResponse, GroupId,
    InitProducerIdRequest, ListTransactionsRequest, OffsetFetchRequest, ProducerId, TransactionalId,
    TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions};
use uuid::Uuid;

use super::client::{
    Client, batch, fetch, one_partition, one_result, produce, record, started, topic_name, values,
};
use crate::support::Server;

const INVALID_TOPIC: i16 = 17;
const OUT_OF_ORDER: i16 = 45;
const INVALID_EPOCH: i16 = 47;
const INVALID_STATE: i16 = 48;
const UNSTABLE: i16 = 88;
const FENCED: i16 = 90;
const ABORTABLE: i16 = 120;

/// The last versions of a client that speaks version 1 of transactions, and of one that speaks version 2.
#[derive(Clone, Copy)]
struct Speaks {
    produce: i16,
    end: i16,
    offsets: i16,
}

const V1: Speaks = Speaks { produce: 11, end: 4, offsets: 4 };
const V2: Speaks = Speaks { produce: 12, end: 5, offsets: 5 };

/// A transactional producer.
struct Producer {
    client: Client,
    speaks: Speaks,
    name: &'static str,
    id: ProducerId,
    epoch: i16,
    sequence: i32,
}

impl Producer {
    async fn begin(server: &Server, speaks: Speaks, name: &'static str) -> Result<Self> {
        let mut client = Client::connect(server).await?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional(name)))
            .with_transaction_timeout_ms(60_000);
        let response = client.ask(4, &request).await?;
        ensure!(response.error_code == 0, "error {}", response.error_code);
        let (id, epoch) = (response.producer_id, response.producer_epoch);
        Ok(Self { client, speaks, name, id, epoch, sequence: 0 })
    }

    async fn add(&mut self) -> Result<i16> {
        self.add_of("t").await
    }

    async fn add_of(&mut self, topic: &'static str) -> Result<i16> {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name(topic)).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional(self.name))
            .with_v3_and_below_producer_id(self.id)
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let response = self.client.ask(3, &request).await?;
        Ok(response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
    }

    /// Produces one record into the transaction.
    async fn send(&mut self, value: &str) -> Result<i16> {
        let request = produce("t", 0, self.batch(value), -1);
        let request = request.with_transactional_id(Some(transactional(self.name)));
        let result = one_result(self.client.ask(self.speaks.produce, &request).await?)?;
        self.sequence += 1;
        Ok(result.error_code)
    }

    fn batch(&self, value: &str) -> Bytes {
        let record = Record {
            transactional: true,
            producer_id: self.id.0,
            producer_epoch: self.epoch,
            sequence: self.sequence,
            ..record(0, value)
        };
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut bytes, &[record], &options).expect("a record encodes");
        bytes.freeze()
    }

    /// Commits an offset of group `g` with the transaction.
    async fn keep_offset(&mut self, offset: i64) -> Result<i16> {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name("t"))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(transactional(self.name))
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_topics(vec![topic]);
        let response = self.client.ask(self.speaks.offsets, &request).await?;
        Ok(response.topics[0].partitions[0].error_code)
    }

    async fn ask_to_end(&mut self, committed: bool) -> Result<EndTxnResponse> {
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional(self.name))
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        self.client.ask(self.speaks.end, &request).await
    }

    /// Ends the transaction; with version 2 the producer goes on as it is told to.
    async fn end(&mut self, committed: bool) -> Result<i16> {
        let response = self.ask_to_end(committed).await?;
        if self.speaks.end >= 5 && response.error_code == 0 {
            (self.id, self.epoch, self.sequence) = (response.producer_id, response.producer_epoch, 0);
        }
        Ok(response.error_code)
    }
}

fn transactional(name: &'static str) -> TransactionalId {
    TransactionalId(StrBytes::from_static_str(name))
}

/// Values seen by readers of everything, or of what is committed, and the aborted transactions they are told of.
async fn read(
    client: &mut Client,
    from: i64,
    isolation: i8,
) -> Result<(Vec<String>, Option<Vec<(i64, i64)>>)> {
    let request = fetch("t", from).with_isolation_level(isolation);
    let data = one_partition(client.ask(12, &request).await?)?;
    let aborted = data.aborted_transactions.clone();
    let aborted = aborted.map(|list| list.iter().map(|a| (a.producer_id.0, a.first_offset)).collect());
    let is_text = |(_, value): &(i64, String)| value.chars().all(|c| c.is_ascii_graphic());
    let texts = values(&data)?.into_iter().filter(is_text).map(|(_, value)| value).collect();
    Ok((texts, aborted))
}

#[tokio::test]
async fn readers_of_committed_records_wait_for_the_end_and_are_told_what_was_aborted() -> Result<()> {
    let (server, mut reader) = started(&[("t", 1)]).await?;
    let mut producer = Producer::begin(&server, V1, "copier").await?;
    reader.produce("t", batch(&["plain"], Compression::None)).await?;

    assert_eq!(producer.send("early").await?, ABORTABLE, "the partition was not added");
    producer.sequence = 0;
    assert_eq!((producer.add().await?, producer.send("lost").await?), (0, 0));
    assert_eq!(read(&mut reader, 0, 1).await?, (vec!["plain".to_owned()], Some(vec![])));
    assert_eq!(read(&mut reader, 0, 0).await?, (vec!["plain".to_owned(), "lost".to_owned()], None));

    assert_eq!(producer.end(false).await?, 0);
    let (all, aborted) = read(&mut reader, 0, 1).await?;
    assert_eq!(all, ["plain", "lost"], "the client leaves them out");
    assert_eq!(aborted, Some(vec![(producer.id.0, 1)]));

    assert_eq!((producer.add().await?, producer.send("kept").await?, producer.end(true).await?), (0, 0, 0));
    let page = server.get("/v1/topics/t/partitions/0/records?format=text").await?.expect(200)?.json()?;
    let texts: Vec<_> = page["records"].as_array().into_iter().flatten().map(|r| &r["value"]).collect();
    assert_eq!(texts, ["plain", "kept"], "over HTTP only what is committed");
    Ok(())
}

#[tokio::test]
async fn a_new_instance_fences_the_old_one_and_aborts_its_transaction() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let mut old = Producer::begin(&server, V1, "copier").await?;
    assert_eq!((old.add().await?, old.send("lost").await?), (0, 0));
    let mut new = Producer::begin(&server, V1, "copier").await?;
    assert_eq!((new.id, new.epoch > old.epoch), (old.id, true));
    assert_eq!(old.send("late").await?, INVALID_EPOCH);
    assert_eq!(old.end(true).await?, FENCED);
    assert_eq!((new.add().await?, new.send("kept").await?, new.end(true).await?), (0, 0, 0));

    let server = server.restart().await?;
    let mut reader = Client::connect(&server).await?;
    let (all, aborted) = read(&mut reader, 0, 1).await?;
    assert_eq!((all, aborted.map(|list| list.len())), (vec!["lost".to_owned(), "kept".to_owned()], Some(1)));
    let listed = reader.ask(0, &ListTransactionsRequest::default()).await?;
    assert_eq!(listed.transaction_states[0].transaction_state.as_str(), "CompleteCommit");
    Ok(())
}

#[tokio::test]
async fn version_2_is_told_as_a_feature_to_clients_that_can_read_it() -> Result<()> {
    let (_server, mut client) = started(&[]).await?;
    let asking = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("it"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    for (version, expected) in [(3, None), (4, Some((0, 2)))] {
        let response = client.ask(version, &asking).await?;
        let level: Vec<_> = response
            .finalized_features
            .iter()
            .filter(|f| f.name.as_str() == "transaction.version")
            .map(|f| (f.name.as_str(), f.min_version_level, f.max_version_level))
            .collect();
        assert_eq!(level, [("transaction.version", 2, 2)]);
        let supported = response.supported_features.iter().find(|f| f.name.as_str() == "transaction.version");
        let supported = supported.map(|f| (f.min_version, f.max_version));
        assert_eq!(supported, expected, "features from level 0 on break clients of version 3");
    }
    Ok(())
}

#[tokio::test]
async fn with_version_2_partitions_join_by_being_written_to_and_each_end_bumps_the_epoch() -> Result<()> {
    let (server, mut reader) = started(&[("t", 1)]).await?;
    let mut producer = Producer::begin(&server, V2, "copier").await?;
    let first = producer.epoch;
    producer.sequence = 3;
    assert_eq!(producer.send("late").await?, OUT_OF_ORDER, "nothing came before it");
    producer.sequence = 0;
    assert_eq!((producer.send("a").await?, producer.send("b").await?), (0, 0));
    let ended = producer.ask_to_end(true).await?;
    let expected = (0, producer.id, first + 1);
    assert_eq!((ended.error_code, ended.producer_id, ended.producer_epoch), expected);
    // The answer was lost: the same request, with the old epoch.
    let again = producer.ask_to_end(true).await?;
    assert_eq!((again.error_code, again.producer_id, again.producer_epoch), expected);
    assert_eq!(producer.send("late").await?, INVALID_EPOCH, "it does not fall into the next transaction");

    (producer.epoch, producer.sequence) = (first + 1, 0);
    assert_eq!((producer.send("lost").await?, producer.end(false).await?), (0, 0));
    assert_eq!(producer.epoch, first + 2);
    assert_eq!((producer.end(false).await?, producer.epoch), (0, first + 3), "nothing is in it");
    assert_eq!(producer.end(true).await?, INVALID_STATE, "what is empty is not committed");

    // By the topic's id.
    let topics = reader.metadata(12, Some(&["t"])).await?.topics;
    let id: Uuid = topics.first().context("the topic")?.topic_id;
    let mut request = produce("", 0, producer.batch("c"), -1);
    request.topic_data[0].topic_id = id;
    let request = request.with_transactional_id(Some(transactional(producer.name)));
    let response = producer.client.ask(13, &request).await?;
    assert_eq!(response.responses[0].topic_id, id);
    assert_eq!((one_result(response)?.error_code, producer.end(true).await?), (0, 0));
    let mut unknown = request.clone();
    unknown.topic_data[0].topic_id = Uuid::from_u128(1);
    assert_eq!(one_result(producer.client.ask(13, &unknown).await?)?.error_code, 100);

    let page = server.get("/v1/topics/t/partitions/0/records?format=text").await?.expect(200)?.json()?;
    let texts: Vec<_> = page["records"].as_array().into_iter().flatten().map(|r| &r["value"]).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    Ok(())
}

#[tokio::test]
async fn both_versions_take_turns_under_one_id() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let mut old = Producer::begin(&server, V1, "copier").await?;
    assert_eq!((old.add().await?, old.send("a").await?, old.end(true).await?), (0, 0, 0));
    let mut new = Producer::begin(&server, V2, "copier").await?;
    assert_eq!((new.send("b").await?, new.end(true).await?), (0, 0));
    let mut old = Producer::begin(&server, V1, "copier").await?;
    assert_eq!((old.add().await?, old.send("c").await?), (0, 0));
    // Its client was replaced by a newer one in the middle of the transaction.
    (old.speaks, old.sequence) = (V2, 1);
    assert_eq!((old.send("d").await?, old.end(true).await?), (0, 0));
    let mut reader = Client::connect(&server).await?;
    let (texts, aborted) = read(&mut reader, 0, 1).await?;
    assert_eq!((texts.join(""), aborted), ("abcd".to_owned(), Some(vec![])));
    Ok(())
}

/// What group `g` has committed, for who wants what is stable.
async fn offset(client: &mut Client) -> Result<Result<i64, i16>> {
    let topic =
        OffsetFetchRequestTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(StrBytes::from_static_str("g")))
        .with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
    let response = client.ask(8, &request).await?;
    let partition = &response.groups[0].topics[0].partitions[0];
    Ok(if partition.error_code == 0 { Ok(partition.committed_offset) } else { Err(partition.error_code) })
}

#[tokio::test]
async fn with_version_2_a_group_joins_by_its_offsets() -> Result<()> {
    let (server, mut reader) = started(&[("t", 1)]).await?;
    let mut old = Producer::begin(&server, V1, "old").await?;
    assert_eq!(old.keep_offset(3).await?, ABORTABLE, "the group was not added");
    old.speaks.offsets = 3;
    assert_eq!(old.keep_offset(3).await?, INVALID_STATE, "a client that does not know the other word");

    let mut new = Producer::begin(&server, V2, "new").await?;
    assert_eq!((new.keep_offset(3).await?, offset(&mut reader).await?), (0, Err(UNSTABLE)));
    assert_eq!((new.end(true).await?, offset(&mut reader).await?), (0, Ok(3)));
    assert_eq!((new.keep_offset(5).await?, new.end(false).await?), (0, 0));
    assert_eq!(offset(&mut reader).await?, Ok(3));
    Ok(())
}

#[tokio::test]
async fn aborted_transactions_are_told_in_the_order_of_their_beginnings() -> Result<()> {
    let (server, mut reader) = started(&[("t", 1)]).await?;
    let mut a = Producer::begin(&server, V2, "a").await?;
    let mut b = Producer::begin(&server, V2, "b").await?;
    let mut c = Producer::begin(&server, V2, "c").await?;
    assert_eq!((a.send("a0").await?, b.send("b1").await?), (0, 0));
    reader.produce("t", batch(&["p2"], Compression::None)).await?;
    // The later one is aborted first: its marker is at 3, the other's at 4.
    assert_eq!((b.end(false).await?, a.end(false).await?), (0, 0));
    assert_eq!(c.send("c5").await?, 0);
    reader.produce("t", batch(&["p6"], Compression::None)).await?;

    let (texts, aborted) = read(&mut reader, 0, 1).await?;
    assert_eq!(texts, ["a0", "b1", "p2"], "up to the open one");
    assert_eq!(aborted, Some(vec![(a.id.0, 0), (b.id.0, 1)]));
    assert_eq!(read(&mut reader, 4, 1).await?.1, Some(vec![(a.id.0, 0)]), "the other has ended before");
    let (texts, aborted) = read(&mut reader, 0, 0).await?;
    assert_eq!((texts.join(" "), aborted), ("a0 b1 p2 c5 p6".to_owned(), None));
    Ok(())
}

#[tokio::test]
async fn no_transaction_leaves_a_marker_in_an_internal_topic() -> Result<()> {
    const INTERNAL: &str = "__viewed.pairs";
    let (server, _) = started(&[("t", 1)]).await?;
    server.upload("also-viewed").await?.expect(201)?;
    let spec = serde_json::json!({
        "kind": "processor", "module": "also-viewed", "input": { "topics": ["t"] }, "internal": { "pairs": {} },
        "params": { "emit": "none" }
    });
    server.put("/v1/deployments/viewed", &spec).await?.expect(201)?;
    let mut producer = Producer::begin(&server, V1, "tx").await?;
    assert_eq!(producer.add_of(INTERNAL).await?, INVALID_TOPIC);
    let topic =
        WritableTxnMarkerTopic::default().with_name(topic_name(INTERNAL)).with_partition_indexes(vec![0]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(producer.id)
        .with_producer_epoch(producer.epoch)
        .with_topics(vec![topic]);
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let response = producer.client.ask(1, &request).await?;
    assert_eq!(response.markers[0].topics[0].partitions[0].error_code, INVALID_TOPIC);
    let topic = server.get(&format!("/v1/topics/{INTERNAL}")).await?.expect(200)?.json()?;
    assert_eq!(topic["partitions"][0]["high_watermark"], 0, "{topic:#}");
    Ok(())
}

//! Transactions as clients see them: what is committed, what is not, who is fenced.

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest, ProducerId,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions};

use super::client::{Client, batch, fetch, one_partition, one_result, produce, record, topic_name, values};
use crate::support::Server;

fn id() -> TransactionalId {
    TransactionalId(StrBytes::from_static_str("copier"))
}

/// A transactional producer.
struct Producer {
    client: Client,
    id: ProducerId,
    epoch: i16,
    sequence: i32,
}

impl Producer {
    async fn begin(server: &Server) -> Result<Self> {
        let mut client = Client::connect(server).await?;
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id()))
            .with_transaction_timeout_ms(60_000);
        let response = client.ask(4, &request).await?;
        ensure!(response.error_code == 0, "error {}", response.error_code);
        Ok(Self { client, id: response.producer_id, epoch: response.producer_epoch, sequence: 0 })
    }

    async fn add(&mut self) -> Result<i16> {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name("t")).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id())
            .with_v3_and_below_producer_id(self.id)
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let response = self.client.ask(3, &request).await?;
        Ok(response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
    }

    /// Produces one record into the transaction.
    async fn send(&mut self, value: &str) -> Result<i16> {
        let request = produce("t", 0, self.batch(value), -1).with_transactional_id(Some(id()));
        let result = one_result(self.client.ask(9, &request).await?)?;
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

    async fn end(&mut self, committed: bool) -> Result<i16> {
        let request = EndTxnRequest::default()
            .with_transactional_id(id())
            .with_producer_id(self.id)
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        Ok(self.client.ask(3, &request).await?.error_code)
    }
}

/// Values seen by readers of everything, or of what is committed, and the aborted transactions they are told of.
async fn read(client: &mut Client, isolation: i8) -> Result<(Vec<String>, Option<Vec<(i64, i64)>>)> {
    let request = fetch("t", 0).with_isolation_level(isolation);
    let data = one_partition(client.ask(12, &request).await?)?;
    let aborted = data.aborted_transactions.clone();
    let aborted = aborted.map(|list| list.iter().map(|a| (a.producer_id.0, a.first_offset)).collect());
    let is_text = |(_, value): &(i64, String)| value.chars().all(|c| c.is_ascii_graphic());
    let texts = values(&data)?.into_iter().filter(is_text).map(|(_, value)| value).collect();
    Ok((texts, aborted))
}

#[tokio::test]
async fn readers_of_committed_records_wait_for_the_end_and_are_told_what_was_aborted() -> Result<()> {
    let server = Server::start().await?;
    server.topic("t", 1).await?;
    let mut reader = Client::connect(&server).await?;
    let mut producer = Producer::begin(&server).await?;
    reader.produce("t", batch(&["plain"], Compression::None)).await?;

    assert_eq!(producer.send("early").await?, 48, "the partition was not added");
    producer.sequence = 0;
    assert_eq!((producer.add().await?, producer.send("lost").await?), (0, 0));
    assert_eq!(read(&mut reader, 1).await?, (vec!["plain".to_owned()], Some(vec![])));
    assert_eq!(read(&mut reader, 0).await?, (vec!["plain".to_owned(), "lost".to_owned()], None));

    assert_eq!(producer.end(false).await?, 0);
    let (all, aborted) = read(&mut reader, 1).await?;
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
    let mut old = Producer::begin(&server).await?;
    assert_eq!((old.add().await?, old.send("lost").await?), (0, 0));
    let mut new = Producer::begin(&server).await?;
    assert_eq!((new.id, new.epoch > old.epoch), (old.id, true));
    assert_eq!(old.send("late").await?, 47);
    assert_eq!(old.end(true).await?, 90);
    assert_eq!((new.add().await?, new.send("kept").await?, new.end(true).await?), (0, 0, 0));

    let server = server.restart().await?;
    let mut reader = Client::connect(&server).await?;
    let (all, aborted) = read(&mut reader, 1).await?;
    assert_eq!((all, aborted.map(|list| list.len())), (vec!["lost".to_owned(), "kept".to_owned()], Some(1)));
    let listed = reader.ask(0, &ListTransactionsRequest::default()).await?;
    assert_eq!(listed.transaction_states[0].transaction_state.as_str(), "CompleteCommit");
    Ok(())
}

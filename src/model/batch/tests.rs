//! The batch codec against itself, against the oracle, and against hostile bytes.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{Compression, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions};
use proptest::prelude::*;

use super::*;
use crate::model::{Header, Record};

fn records() -> impl Strategy<Value = Vec<Record>> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from));
    let header = ("[a-z]{0,9}", bytes()).prop_map(|(name, value)| Header { name, value });
    let record = (bytes(), bytes(), 0i64..4_000_000_000_000, proptest::collection::vec(header, 0..4))
        .prop_map(|(key, value, timestamp, headers)| Record { key, value, timestamp, headers });
    proptest::collection::vec(record, 1..30)
}

fn build(records: &[Record], codec: Codec) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for record in records {
        builder.push_record(record);
    }
    builder.finish(codec).unwrap()
}

fn read(batch: &RecordBatch) -> Vec<Record> {
    let payload = batch.payload(1 << 20).unwrap();
    payload.records().map(|r| r.unwrap().to_owned_in(payload.bytes())).collect()
}

proptest! {
    #[test]
    fn what_is_built_reads_back_with_either_codec(records in records()) {
        for codec in [Codec::None, Codec::Lz4] {
            let batch = build(&records, codec);
            let again = RecordBatch::parse(batch.bytes().clone()).unwrap();
            prop_assert_eq!(&again, &batch);
            prop_assert_eq!(read(&again), records.clone());
        }
    }

    #[test]
    fn the_oracle_reads_what_we_build(records in records()) {
        let batch = build(&records, Codec::None);
        let decoded = RecordBatchDecoder::decode(&mut batch.bytes().clone()).unwrap().records;
        prop_assert_eq!(decoded.len(), records.len());
        for (i, (theirs, ours)) in decoded.iter().zip(&records).enumerate() {
            prop_assert_eq!(theirs.offset, i as i64);
            prop_assert_eq!(&theirs.key, &ours.key);
            prop_assert_eq!(&theirs.value, &ours.value);
            prop_assert_eq!(theirs.timestamp, ours.timestamp);
        }
    }

    #[test]
    fn we_read_what_the_oracle_builds(records in records()) {
        let theirs: Vec<_> = records.iter().enumerate().map(|(i, r)| oracle_record(i, r)).collect();
        let mut out = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut out, &theirs, &options).unwrap();
        let batch = RecordBatch::parse(out.freeze()).unwrap();
        let ours: Vec<_> = read(&batch);
        prop_assert_eq!(ours.len(), records.len());
        for (ours, expected) in ours.iter().zip(&records) {
            prop_assert_eq!(&ours.key, &expected.key);
            prop_assert_eq!(&ours.value, &expected.value);
            prop_assert_eq!(ours.timestamp, expected.timestamp);
        }
    }

    #[test]
    fn hostile_bytes_give_an_error_and_never_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if bytes.len() >= HEADER_LEN {
            bytes[16] = 2;
            let length = (bytes.len() - LENGTH_END) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
        }
        if let Ok(batch) = RecordBatch::trusted(Bytes::from(bytes))
            && let Ok(payload) = batch.payload(1000)
        {
            let _ = payload.records().collect::<Vec<_>>();
        }
    }
}

fn oracle_record(i: usize, record: &Record) -> kafka_protocol::records::Record {
    kafka_protocol::records::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: kafka_protocol::records::TimestampType::Creation,
        offset: i as i64,
        sequence: i as i32,
        timestamp: record.timestamp,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: Default::default(),
    }
}

fn one() -> RecordBatch {
    let record = Record { value: Some(Bytes::from_static(b"hello")), timestamp: 5, ..Record::default() };
    build(&[record], Codec::None)
}

#[test]
fn a_changed_byte_is_found_by_the_checksum() {
    let mut bytes = one().bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let error = RecordBatch::parse(bytes.into()).unwrap_err();
    assert!(matches!(error, BatchError::Checksum { .. }), "{error}");
}

#[test]
fn placing_keeps_the_checksum() {
    let mut bytes = one().bytes().to_vec();
    place(&mut bytes, 77).unwrap();
    let batch = RecordBatch::parse(bytes.into()).unwrap();
    assert_eq!((batch.header().base_offset, batch.header().next_offset()), (77, 78));
}

#[test]
fn a_batch_that_claims_two_billion_records_reserves_nothing() {
    let mut bytes = one().bytes().to_vec();
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    let payload = RecordBatch::trusted(bytes.into()).unwrap().payload(100).unwrap();
    let mut records = payload.records();
    assert!(records.size_hint().1.unwrap() < 3);
    assert!(records.next().unwrap().is_ok());
    assert_eq!(records.next().unwrap().unwrap_err(), BatchError::Malformed("a record cut short"));
    assert!(records.next().is_none());
}

#[test]
fn short_long_and_trailing_bytes_are_refused() {
    let bytes = one().bytes().clone();
    let short = RecordBatch::parse(bytes.slice(..bytes.len() - 1)).unwrap_err();
    assert_eq!(short, BatchError::Length { found: bytes.len() - 1, expected: bytes.len() });
    assert_eq!(
        RecordBatch::parse(Bytes::new()).unwrap_err(),
        BatchError::Length { found: 0, expected: HEADER_LEN }
    );

    let mut fewer = bytes.to_vec();
    fewer[57..61].copy_from_slice(&0i32.to_be_bytes());
    let payload = RecordBatch::trusted(fewer.into()).unwrap().payload(100).unwrap();
    assert_eq!(
        payload.records().next().unwrap().unwrap_err(),
        BatchError::Malformed("bytes after the last record")
    );
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let record = Record { value: Some(vec![0; 1 << 20].into()), ..Record::default() };
    let batch = build(&[record], Codec::Lz4);
    assert!(batch.bytes().len() < 10_000);
    assert_eq!(batch.payload(1000).unwrap_err(), BatchError::Large { limit: 1000 });
}

#[test]
fn duplicate_headers_and_their_order_survive() {
    let header = |name: &str, value: Option<&'static [u8]>| Header {
        name: name.into(),
        value: value.map(Bytes::from_static),
    };
    let headers = vec![header("b", Some(b"1")), header("a", None), header("b", Some(b"2"))];
    let record = Record { headers: headers.clone(), ..Record::default() };
    assert_eq!(read(&build(&[record], Codec::None))[0].headers, headers);
}

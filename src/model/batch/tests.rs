//! The batch codec against itself, against the oracle, and against hostile bytes.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{Compression, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions};
use proptest::prelude::*;

use super::*;
use crate::model::{Header, Record};

mod codec;
mod control;
mod rewrite;
mod validate;

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
    fn what_is_built_reads_back_with_every_codec(records in records()) {
        for codec in Codec::ALL {
            let batch = build(&records, codec);
            let again = RecordBatch::parse(batch.bytes().clone()).unwrap();
            prop_assert_eq!(&again, &batch);
            prop_assert_eq!(read(&again), records.clone());
        }
    }

    #[test]
    fn the_oracle_reads_what_we_build_with_every_codec(mut records in records()) {
        records.push(compressible());
        for codec in Codec::ALL {
            let batch = build(&records, codec);
            prop_assert_eq!(batch.header().codec, codec);
            let decoded = oracle_reads(&batch);
            prop_assert_eq!(decoded.len(), records.len());
            for (i, (theirs, ours)) in decoded.iter().zip(&records).enumerate() {
                prop_assert_eq!(theirs.offset, i as i64);
                prop_assert_eq!(&theirs.key, &ours.key);
                prop_assert_eq!(&theirs.value, &ours.value);
                prop_assert_eq!(theirs.timestamp, ours.timestamp);
            }
        }
    }

    #[test]
    fn a_header_reads_back_as_it_was_written(header in headers()) {
        let batch = seal(header, BytesMut::zeroed(header.size));
        prop_assert_eq!(BatchHeader::read(batch.bytes()).unwrap(), header);
    }

    #[test]
    fn dropped_records_leave_gaps_that_the_oracle_sees_too(gaps in proptest::collection::vec(0u32..9, 1..20)) {
        let mut builder = BatchBuilder::new();
        let mut expected = Vec::new();
        for gap in &gaps {
            builder.skip(*gap);
            expected.push(builder.next_delta());
            builder.push(7, None, Some(b"v"), []);
        }
        builder.skip(3);
        let batch = RecordBatch::parse(builder.finish(Codec::None).unwrap().bytes().clone()).unwrap();
        prop_assert_eq!(deltas(&batch), expected.clone());
        prop_assert_eq!(batch.header().last_offset_delta, expected.last().unwrap() + 3);
        let theirs: Vec<_> = oracle_reads(&batch).iter().map(|r| r.offset as u32).collect();
        prop_assert_eq!(theirs, expected);
    }

    #[test]
    fn we_read_what_the_oracle_builds_with_every_codec(records in records()) {
        for compression in ORACLE_CODECS {
            let batch = RecordBatch::parse(oracle_builds(&records, compression)).unwrap();
            prop_assert_eq!(batch.header().codec as i16, compression as i16);
            let ours: Vec<_> = read(&batch);
            prop_assert_eq!(ours.len(), records.len());
            for (ours, expected) in ours.iter().zip(&records) {
                prop_assert_eq!(&ours.key, &expected.key);
                prop_assert_eq!(&ours.value, &expected.value);
                prop_assert_eq!(ours.timestamp, expected.timestamp);
            }
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

const ORACLE_CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn oracle_builds(records: &[Record], compression: Compression) -> Bytes {
    let theirs: Vec<_> = records.iter().enumerate().map(|(i, r)| oracle_record(i, r)).collect();
    let mut out = BytesMut::new();
    RecordBatchEncoder::encode(&mut out, &theirs, &RecordEncodeOptions { version: 2, compression }).unwrap();
    out.freeze()
}

fn oracle_reads(batch: &RecordBatch) -> Vec<kafka_protocol::records::Record> {
    RecordBatchDecoder::decode(&mut batch.bytes().clone()).unwrap().records
}

/// A record that every codec makes smaller.
fn compressible() -> Record {
    Record { value: Some(b"millstream ".repeat(400).into()), ..Record::default() }
}

fn headers() -> impl Strategy<Value = BatchHeader> {
    let stamp = (any::<i64>(), any::<i16>(), any::<i32>(), any::<bool>());
    let numbers = (0..=i64::MAX as u64, 61usize..500, 0usize..5, 0..=i32::MAX as u32, 0..=i32::MAX as u32);
    let times = (any::<i64>(), any::<i64>(), any::<bool>(), any::<bool>(), any::<bool>());
    (stamp, numbers, times).prop_map(|(stamp, numbers, (base, max, horizon, control, append))| BatchHeader {
        base_offset: numbers.0,
        size: numbers.1,
        codec: Codec::ALL[numbers.2],
        log_append_time: append,
        transactional: stamp.3,
        control,
        delete_horizon: horizon.then_some(base),
        last_offset_delta: numbers.3,
        base_timestamp: base,
        max_timestamp: max,
        producer_id: stamp.0,
        producer_epoch: stamp.1,
        base_sequence: stamp.2,
        count: numbers.4,
    })
}

fn deltas(batch: &RecordBatch) -> Vec<u32> {
    batch.payload(1 << 20).unwrap().records().map(|r| r.unwrap().offset_delta).collect()
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
fn placing_keeps_the_checksum_and_sets_the_leader_epoch_to_0() {
    let mut bytes = one().bytes().to_vec();
    bytes[12..16].copy_from_slice(&(-1i32).to_be_bytes());
    place(&mut bytes, 77).unwrap();
    assert_eq!(bytes[12..16], [0; 4]);
    let batch = RecordBatch::parse(bytes.into()).unwrap();
    assert_eq!((batch.header().base_offset, batch.header().next_offset()), (77, 78));
    assert_eq!(oracle_reads(&batch)[0].partition_leader_epoch, 0);
}

#[test]
fn a_batch_carries_its_producer() {
    let stamp = ProducerStamp { id: 4711, epoch: 3, base_sequence: i32::MAX, transactional: true };
    let mut builder = BatchBuilder::new();
    builder.producer(stamp);
    builder.push(1, Some(b"k"), None, []);
    let batch = builder.finish(Codec::None).unwrap();
    assert_eq!(batch.header().producer(), Some(stamp));
    let theirs = &oracle_reads(&batch)[0];
    assert_eq!((theirs.producer_id, theirs.producer_epoch, theirs.transactional), (4711, 3, true));
    assert_eq!(one().header().producer(), None);
}

#[test]
fn a_batch_whose_records_were_all_dropped_keeps_their_offsets() {
    let mut builder = BatchBuilder::new();
    builder.producer(ProducerStamp { id: 1, epoch: 0, base_sequence: 10, transactional: false });
    builder.skip(2);
    builder.set_last_offset_delta(4);
    builder.set_last_offset_delta(1);
    let batch = RecordBatch::parse(builder.finish(Codec::Gzip).unwrap().bytes().clone()).unwrap();
    assert_eq!((batch.header().count, batch.header().next_offset()), (0, 5));
    assert_eq!((batch.header().codec, batch.header().max_timestamp), (Codec::None, -1));
    assert_eq!(read(&batch), []);
    assert_eq!(oracle_reads(&batch).len(), 0);
}

#[test]
fn a_builder_without_offsets_makes_no_batch() {
    assert_eq!(BatchBuilder::new().finish(Codec::None), None);
}

#[test]
fn the_brokers_time_counts_for_every_record_of_a_batch_that_asks_for_it() {
    let mut builder = BatchBuilder::new();
    builder.log_append_time(99);
    builder.push(1, None, None, []);
    builder.push(500, None, None, []);
    let batch = builder.finish(Codec::None).unwrap();
    assert_eq!(read(&batch).iter().map(|r| r.timestamp).collect::<Vec<_>>(), [99, 99]);
    assert_eq!(batch.header().max_timestamp, 99);
    let theirs = oracle_reads(&batch);
    assert_eq!(theirs[0].timestamp_type, kafka_protocol::records::TimestampType::LogAppend);
}

#[test]
fn skipping_ends_at_the_last_offset_delta_of_the_format() {
    let mut builder = BatchBuilder::new();
    builder.skip(u32::MAX);
    builder.skip(u32::MAX);
    let batch = builder.finish(Codec::None).unwrap();
    assert_eq!(batch.header().last_offset_delta, i32::MAX as u32 - 1);
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
fn duplicate_headers_and_their_order_survive() {
    let header = |name: &str, value: Option<&'static [u8]>| Header {
        name: name.into(),
        value: value.map(Bytes::from_static),
    };
    let headers = vec![header("b", Some(b"1")), header("a", None), header("b", Some(b"2"))];
    let record = Record { headers: headers.clone(), ..Record::default() };
    assert_eq!(read(&build(&[record], Codec::None))[0].headers, headers);
}

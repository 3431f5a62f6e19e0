//! Batches made from batches.

use super::*;

/// Ten records with growing times.
fn ten(codec: Codec) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    builder.producer(ProducerStamp { id: 5, epoch: 1, base_sequence: 40, transactional: true });
    for i in 0..10i64 {
        let key = format!("key-{i}");
        builder.push(1_000 + i, Some(key.as_bytes()), Some(&[7; 300]), [("h", Some(&b"x"[..]))]);
    }
    let mut bytes = builder.finish(codec).unwrap().bytes().to_vec();
    place(&mut bytes, 500).unwrap();
    RecordBatch::parse(bytes.into()).unwrap()
}

fn times(batch: &RecordBatch) -> Vec<i64> {
    read(batch).iter().map(|r| r.timestamp).collect()
}

#[test]
fn the_brokers_time_is_put_in_without_touching_the_records() {
    for codec in Codec::ALL {
        let batch = ten(codec);
        let stamped = RecordBatch::parse(batch.clone().with_log_append_time(77).bytes().clone()).unwrap();
        assert_eq!(times(&stamped), [77; 10]);
        assert_eq!(stamped.bytes()[HEADER_LEN..], batch.bytes()[HEADER_LEN..]);
        assert_eq!(
            (stamped.header().base_offset, stamped.header().producer()),
            (500, batch.header().producer())
        );
        assert_eq!(times(&batch), (1_000..1_010).collect::<Vec<_>>(), "a shared batch is copied");
        let appended = kafka_protocol::records::TimestampType::LogAppend;
        assert!(oracle_reads(&stamped).iter().all(|r| r.timestamp_type == appended));
    }
}

#[test]
fn a_batch_that_nobody_else_holds_is_changed_where_it_lies() {
    let batch = ten(Codec::None);
    let at = batch.bytes().as_ptr();
    assert_eq!(batch.with_log_append_time(1).bytes().as_ptr(), at);
}

#[test]
fn every_codec_turns_into_every_other() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            let batch = ten(from).with_codec(to, 1 << 20).unwrap();
            let batch = RecordBatch::parse(batch.bytes().clone()).unwrap();
            assert_eq!(batch.header().codec, to);
            assert_eq!(
                BatchHeader { size: 0, ..*batch.header() },
                BatchHeader { size: 0, codec: to, ..*ten(from).header() }
            );
            assert_eq!(read(&batch), read(&ten(from)));
        }
    }
}

#[test]
fn keeping_all_records_keeps_the_bytes() {
    let batch = ten(Codec::Zstd);
    let kept = batch.retain(1 << 20, None, |_| true).unwrap();
    assert_eq!(kept.bytes().as_ptr(), batch.bytes().as_ptr());
}

#[test]
fn kept_records_stay_at_their_offsets() {
    for codec in Codec::ALL {
        let batch = ten(codec);
        let kept = batch.retain(1 << 20, None, |r| [2, 3, 7].contains(&r.offset_delta)).unwrap();
        let kept = RecordBatch::parse(kept.bytes().clone()).unwrap();
        assert_eq!(deltas(&kept), [2, 3, 7]);
        assert_eq!(times(&kept), [1_002, 1_003, 1_007]);
        let expected =
            BatchHeader { size: kept.header().size, count: 3, max_timestamp: 1_007, ..*batch.header() };
        assert_eq!(kept.header(), &expected);
        let theirs: Vec<_> = oracle_reads(&kept).iter().map(|r| (r.offset, r.timestamp)).collect();
        assert_eq!(theirs, [(502, 1_002), (503, 1_003), (507, 1_007)]);

        let again = kept.retain(1 << 20, None, |r| r.offset_delta == 7).unwrap();
        assert_eq!((deltas(&again), times(&again)), (vec![7], vec![1_007]));
        assert_eq!(again.header().next_offset(), 510);
    }
}

#[test]
fn an_emptied_batch_keeps_offsets_times_and_sequence() {
    let batch = ten(Codec::Gzip);
    let empty = RecordBatch::parse(batch.retain(1 << 20, None, |_| false).unwrap().bytes().clone()).unwrap();
    let expected = BatchHeader { size: HEADER_LEN, count: 0, codec: Codec::None, ..*batch.header() };
    assert_eq!(empty.header(), &expected);
    assert_eq!(read(&empty), []);
}

#[test]
fn a_delete_horizon_changes_no_records_time() {
    let batch = ten(Codec::Lz4);
    let marked = batch.retain(1 << 20, Some(9_000), |_| true).unwrap();
    let marked = RecordBatch::parse(marked.bytes().clone()).unwrap();
    assert_eq!(marked.header().delete_horizon, Some(9_000));
    assert_eq!(times(&marked), times(&batch));
    assert_eq!(marked.header().max_timestamp, 1_009);
    let theirs = oracle_reads(&marked);
    assert!(theirs[0].delete_horizon);
    assert_eq!(theirs[9].timestamp, 1_009);

    let later = marked.retain(1 << 20, None, |r| r.offset_delta < 5).unwrap();
    assert_eq!(later.header().delete_horizon, Some(9_000));
    assert_eq!(times(&later), [1_000, 1_001, 1_002, 1_003, 1_004]);
}

#[test]
fn the_brokers_time_survives_the_cleaner() {
    let stamped = ten(Codec::None).with_log_append_time(77);
    let kept = stamped.retain(1 << 20, None, |r| r.offset_delta == 4).unwrap();
    assert_eq!(times(&kept), [77]);
    assert!(kept.header().log_append_time);
}

#[test]
fn a_damaged_batch_is_not_cleaned() {
    let mut bytes = ten(Codec::None).bytes().to_vec();
    bytes.truncate(bytes.len() - 1);
    let length = (bytes.len() - LENGTH_END) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let batch = RecordBatch::trusted(bytes.into()).unwrap();
    let error = batch.retain(1 << 20, None, |_| false).unwrap_err();
    assert_eq!(error, BatchError::Malformed("a length beyond the end"));
}

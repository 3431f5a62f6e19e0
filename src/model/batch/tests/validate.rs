//! What clients may and may not send.

use super::*;
use crate::model::batch::validate::{
    Checked, RECORD_ERRORS_MAX, RecordError, RecordFault, Refusal, Rules, Timestamps, validate,
};

const NOW: i64 = 1_700_000_000_000;
const HOUR: u64 = 3_600_000;

fn rules() -> Rules {
    Rules {
        size_max: 1 << 20,
        uncompressed_max: 1 << 20,
        key_required: false,
        timestamps: Timestamps::create(NOW, u64::MAX, HOUR),
    }
}

fn check(bytes: &[u8]) -> Result<Checked, Refusal> {
    validate(Bytes::copy_from_slice(bytes), &rules())
}

fn refusal(bytes: &[u8]) -> Refusal {
    check(bytes).unwrap_err()
}

/// A batch of three records with these times, as an idempotent producer sends it.
fn three(times: [i64; 3], codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.producer(ProducerStamp { id: 9, epoch: 0, base_sequence: 0, transactional: false });
    for time in times {
        builder.push(time, Some(b"k"), Some(&[0; 100]), []);
    }
    builder.finish(codec).unwrap().bytes().to_vec()
}

/// `bytes` with others from `at` on, and the checksum that belongs to them.
fn with(bytes: &[u8], at: usize, other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + other.len()].copy_from_slice(other);
    let crc = crc32c(&bytes[CRC_START..]);
    bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// A batch of these encoded records.
fn of_records(records: &[&[u8]], count: u32) -> Vec<u8> {
    let mut bytes = BytesMut::zeroed(HEADER_LEN);
    for record in records {
        bytes.extend_from_slice(record);
    }
    let header = BatchHeader {
        count,
        last_offset_delta: count - 1,
        base_timestamp: NOW,
        max_timestamp: NOW,
        ..BatchHeader::empty()
    };
    seal(header, bytes).bytes().to_vec()
}

#[test]
fn a_sound_batch_is_stored_as_it_came() {
    for codec in Codec::ALL {
        let sent = Bytes::from(three([NOW, NOW + 2, NOW + 1], codec));
        let checked = validate(sent.clone(), &rules()).unwrap();
        assert_eq!(checked.batch.header().codec, codec);
        assert_eq!(checked.batch.bytes().as_ptr(), sent.as_ptr());
        assert_eq!(checked.max_timestamp_delta, 1);
        assert_eq!(checked.payload.records().count(), 3);
    }
}

#[test]
fn what_other_implementations_build_is_sound() {
    let records: Vec<_> = (0..50).map(|i| Record { timestamp: NOW - i, ..compressible() }).collect();
    for compression in ORACLE_CODECS {
        let checked = check(&oracle_builds(&records, compression)).unwrap();
        assert_eq!((checked.batch.header().count, checked.max_timestamp_delta), (50, 0));
    }
}

#[test]
fn exactly_one_batch_of_format_2_is_taken() {
    let one = three([NOW; 3], Codec::None);
    let two = [one.clone(), one.clone()].concat();
    assert_eq!(refusal(&[]), Refusal::Invalid("no record batch"));
    assert_eq!(refusal(&two), Refusal::Invalid("more than one record batch for a partition"));
    assert_eq!(
        refusal(&[&one[..], &[0]].concat()),
        Refusal::Invalid("more than one record batch for a partition")
    );
    for magic in [0, 1, 3, 0xff] {
        assert_eq!(refusal(&with(&one, 16, &[magic])), Refusal::Invalid("a record format other than 2"));
    }
}

#[test]
fn damage_is_told_apart_from_what_the_client_did_wrong() {
    let one = three([NOW; 3], Codec::Gzip);
    let (found, expected) = (one.len() - 1, one.len());
    assert_eq!(refusal(&one[..found]), Refusal::Damaged(BatchError::Length { found, expected }));
    let length = Refusal::Damaged(BatchError::Length { found: 20, expected: HEADER_LEN });
    assert_eq!(refusal(&one[..20]), length);
    // The count of records becomes negative on the way.
    let mut changed = one.clone();
    changed[57] ^= 0x80;
    assert!(matches!(refusal(&changed), Refusal::Damaged(BatchError::Checksum { .. })));
    for at in CRC_START..one.len() {
        let mut changed = one.clone();
        changed[at] ^= 0x10;
        assert!(matches!(refusal(&changed), Refusal::Damaged(BatchError::Checksum { .. })), "byte {at}");
    }
}

#[test]
fn the_topics_size_counts_the_whole_batch() {
    let one = three([NOW; 3], Codec::None);
    let limited = |size_max| validate(one.clone().into(), &Rules { size_max, ..rules() });
    assert_eq!(limited(one.len()).unwrap().batch.bytes(), &one);
    let large = Refusal::Large { found: one.len(), limit: one.len() - 1 };
    assert_eq!(limited(one.len() - 1).unwrap_err(), large);
}

#[test]
fn the_header_keeps_the_rules_for_clients() {
    let one = three([NOW; 3], Codec::None);
    let cases: [(usize, &[u8], &str); 16] = [
        (0, &1i64.to_be_bytes(), "a base offset other than 0"),
        (0, &(-1i64).to_be_bytes(), "negative offset, delta or count"),
        (57, &0i32.to_be_bytes(), "no records"),
        (57, &2i32.to_be_bytes(), "a last offset delta that contradicts the count of records"),
        (57, &(-3i32).to_be_bytes(), "negative offset, delta or count"),
        (23, &3i32.to_be_bytes(), "a last offset delta that contradicts the count of records"),
        (23, &(-1i32).to_be_bytes(), "negative offset, delta or count"),
        (21, &(1i16 << 5).to_be_bytes(), "clients are not allowed to write control records"),
        (21, &(1i16 << 6).to_be_bytes(), "clients are not allowed to set a delete horizon"),
        (21, &(1i16 << 7).to_be_bytes(), "attributes without a meaning"),
        (21, &(i16::MIN).to_be_bytes(), "attributes without a meaning"),
        (43, &(-2i64).to_be_bytes(), "a producer id below -1"),
        (51, &(-1i16).to_be_bytes(), "a producer id without an epoch"),
        (53, &(-1i32).to_be_bytes(), "a producer id without a sequence number"),
        (8, &(-1i32).to_be_bytes(), ""),
        (8, &48i32.to_be_bytes(), ""),
    ];
    for (at, other, reason) in cases {
        match refusal(&with(&one, at, other)) {
            Refusal::Invalid(found) => assert_eq!(found, reason, "{other:?} at {at}"),
            // The last two: with a wrong length nothing else can be read.
            Refusal::Damaged(_) => assert_eq!(at, 8),
            found => panic!("{other:?} at {at}: {found}"),
        }
    }
    let mut transactional = with(&one, 21, &(1i16 << 4).to_be_bytes());
    assert!(check(&transactional).unwrap().batch.header().producer().unwrap().transactional);
    transactional = with(&transactional, 43, &(-1i64).to_be_bytes());
    assert_eq!(refusal(&transactional), Refusal::Invalid("a transaction without a producer id"));
}

#[test]
fn without_a_producer_id_epoch_and_sequence_do_not_matter() {
    // Sarama sends sequence 0 then.
    let mut one = with(&three([NOW; 3], Codec::None), 43, &(-1i64).to_be_bytes());
    one = with(&one, 51, &(-1i16).to_be_bytes());
    assert_eq!(check(&one).unwrap().batch.header().producer(), None);
}

#[test]
fn an_unknown_codec_is_named() {
    for codec in 5..8i16 {
        let one = with(&three([NOW; 3], Codec::None), 21, &codec.to_be_bytes());
        assert_eq!(refusal(&one), Refusal::Codec(codec));
    }
}

#[test]
fn payloads_that_are_not_what_their_codec_says_are_invalid() {
    for codec in 1..5i16 {
        let one = with(&three([NOW; 3], Codec::None), 21, &codec.to_be_bytes());
        assert!(matches!(refusal(&one), Refusal::Invalid(_)), "codec {codec}");
    }
}

#[test]
fn a_bomb_is_refused_for_what_it_becomes() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new();
        builder.push(NOW, None, Some(&vec![0; 2 << 20]), []);
        let bomb = builder.finish(codec).unwrap();
        assert_eq!(refusal(bomb.bytes()), Refusal::Expands { limit: 1 << 20 });
    }
}

#[test]
fn a_batch_of_61_bytes_that_claims_two_billion_records_is_refused_at_once() {
    let header = BatchHeader {
        count: i32::MAX as u32,
        last_offset_delta: i32::MAX as u32 - 1,
        ..BatchHeader::empty()
    };
    let claim = seal(header, BytesMut::zeroed(HEADER_LEN));
    let errors = vec![RecordError { index: 0, fault: RecordFault::Malformed("a record cut short") }];
    assert_eq!(refusal(claim.bytes()), Refusal::Records { errors, total: 1, timestamp: false });
}

#[test]
fn a_malformed_record_is_named_by_its_index() {
    let good: &[u8] = &[12, 0, 0, 0, 1, 1, 0];
    assert_eq!(check(&of_records(&[good], 1)).unwrap().payload.records().count(), 1);
    let cases: [(&[u8], &str); 8] = [
        (&[12, 0, 0, 2, 1, 1], "a length beyond the end"),
        (&[1], "a record of negative length"),
        (&[10, 0, 0, 2, 1, 1], "a record cut short"),
        (&[14, 0, 0, 2, 1, 1, 0, 0], "bytes after the headers of a record"),
        (&[12, 0, 0, 2, 1, 1, 1], "negative header count"),
        (&[12, 0, 0, 1, 1, 1, 0], "negative offset delta"),
        (&[12, 0, 0, 4, 1, 1, 0], "an offset delta beyond the last"),
        (&[18, 0, 0, 2, 1, 1, 2, 2, 0xff, 1], "a header name that is no UTF-8"),
    ];
    for (record, reason) in cases {
        let errors = vec![RecordError { index: 1, fault: RecordFault::Malformed(reason) }];
        let found = refusal(&of_records(&[good, record], 2));
        assert_eq!(found, Refusal::Records { errors, total: 1, timestamp: false }, "{record:?}");
    }
    let more = refusal(&of_records(&[good, good], 1));
    assert_eq!(more, Refusal::Invalid("bytes after the last record"));
}

#[test]
fn a_compacted_topic_names_every_record_without_a_key() {
    let mut builder = BatchBuilder::new();
    for key in [None, Some(&b""[..]), Some(b"k"), None] {
        builder.push(NOW, key, None, []);
    }
    let sent = builder.finish(Codec::None).unwrap();
    assert_eq!(check(sent.bytes()).unwrap().batch, sent);
    let compacted = Rules { key_required: true, ..rules() };
    let errors = [0, 3].map(|index| RecordError { index, fault: RecordFault::NoKey }).to_vec();
    assert_eq!(
        validate(sent.bytes().clone(), &compacted).unwrap_err(),
        Refusal::Records { errors, total: 2, timestamp: false }
    );
}

#[test]
fn times_lie_within_the_topics_bounds() {
    let rules = Rules { timestamps: Timestamps::create(NOW, 1000, 10), ..rules() };
    let check = |times| validate(three(times, Codec::Lz4).into(), &rules);
    assert_eq!(check([NOW - 1000, NOW + 10, -1]).unwrap().max_timestamp_delta, 1);
    let (from, to) = (NOW - 1000, NOW + 10);
    let fault = |index, found| RecordError { index, fault: RecordFault::Timestamp { found, from, to } };
    let errors = vec![fault(0, NOW - 1001), fault(2, NOW + 11)];
    let refusal = check([NOW - 1001, NOW, NOW + 11]).unwrap_err();
    assert_eq!(refusal, Refusal::Records { errors, total: 2, timestamp: true });
    let text = format!(
        "2 of the batch's records are invalid: record 0: timestamp {} is out of range, it should be within [{from}, {to}]",
        NOW - 1001
    );
    assert_eq!(refusal.to_string(), text);
}

#[test]
fn bounds_of_for_ever_still_keep_sums_of_times_in_64_bits() {
    let for_ever = Timestamps::create(NOW, u64::MAX, u64::MAX);
    assert_eq!(for_ever, Timestamps::Create { from: 0, to: crate::model::limits::TIMESTAMP_MAX });
    assert!(matches!(
        refusal(&three([i64::MIN, 0, 0], Codec::None)),
        Refusal::Records { timestamp: true, .. }
    ));
    assert!(matches!(
        refusal(&three([0, i64::MAX, 0], Codec::None)),
        Refusal::Records { timestamp: true, .. }
    ));
}

#[test]
fn of_many_faults_the_first_hundred_are_told_and_all_counted() {
    let mut builder = BatchBuilder::new();
    for _ in 0..250 {
        builder.push(NOW + i64::MAX / 4, None, None, []);
    }
    let Refusal::Records { errors, total, .. } = refusal(builder.finish(Codec::None).unwrap().bytes()) else {
        panic!("its records are at fault")
    };
    assert_eq!((errors.len(), total), (RECORD_ERRORS_MAX, 250));
    assert_eq!(errors.last().unwrap().index, 99);
}

#[test]
fn a_wrong_largest_timestamp_is_put_right() {
    for codec in Codec::ALL {
        for wrong in [-1, 0, NOW + 5, i64::MAX] {
            let sent = with(&three([NOW - 2, NOW, NOW], codec), 35, &wrong.to_be_bytes());
            let checked = check(&sent).unwrap();
            let stored = RecordBatch::parse(checked.batch.bytes().clone()).unwrap();
            assert_eq!((stored.header().max_timestamp, checked.max_timestamp_delta), (NOW, 1));
            assert_eq!(checked.payload.header(), stored.header());
            assert_eq!(stored.bytes()[HEADER_LEN..], sent[HEADER_LEN..]);
        }
    }
}

#[test]
fn a_batch_without_timestamps_has_no_largest_one() {
    let checked = check(&three([-1; 3], Codec::None)).unwrap();
    assert_eq!((checked.batch.header().max_timestamp, checked.max_timestamp_delta), (-1, 0));
}

#[test]
fn offset_deltas_that_do_not_count_up_are_counted_again() {
    let (zero, one): (&[u8], &[u8]) = (&[12, 0, 0, 0, 1, 1, 0], &[12, 0, 2, 2, 1, 1, 0]);
    for records in [[zero, zero, one], [one, zero, one], [zero, one, one]] {
        let sent = of_records(&records, 3);
        for codec in Codec::ALL {
            let sent = RecordBatch::parse(sent.clone().into()).unwrap().with_codec(codec, 1000).unwrap();
            let checked = check(sent.bytes()).unwrap();
            let stored = RecordBatch::parse(checked.batch.bytes().clone()).unwrap();
            assert_eq!(deltas(&stored), [0, 1, 2]);
            let times = |b: &RecordBatch| read(b).iter().map(|r| r.timestamp).collect::<Vec<_>>();
            assert_eq!(times(&stored), times(&sent));
            assert_eq!(stored.header().max_timestamp, NOW + 1);
            assert_eq!(checked.payload.records().count(), 3);
        }
    }
}

#[test]
fn a_topic_of_the_brokers_time_stamps_the_batch() {
    let rules = Rules { timestamps: Timestamps::Append { now: NOW }, ..rules() };
    for codec in Codec::ALL {
        let checked = validate(three([3, 5, NOW * 2], codec).into(), &rules).unwrap();
        let stored = RecordBatch::parse(checked.batch.bytes().clone()).unwrap();
        assert!(stored.header().log_append_time);
        assert_eq!(read(&stored).iter().map(|r| r.timestamp).collect::<Vec<_>>(), [NOW; 3]);
        let seen: Vec<_> = checked.payload.records().map(|r| r.unwrap().timestamp).collect();
        assert_eq!((seen, checked.max_timestamp_delta), (vec![NOW; 3], 0));
    }
}

#[test]
fn a_client_does_not_say_that_its_times_are_the_brokers() {
    let one = with(&three([NOW; 3], Codec::None), 21, &(1i16 << 3).to_be_bytes());
    let errors = vec![RecordError { index: 0, fault: RecordFault::AppendTime }];
    assert_eq!(refusal(&one), Refusal::Records { errors, total: 3, timestamp: true });
}

proptest! {
    #[test]
    fn hostile_batches_are_refused_without_a_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 61..200), codec in 0i16..5, count in 0i32..4,
    ) {
        let length = (bytes.len() - LENGTH_END) as i32;
        bytes[..8].fill(0);
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        bytes[21..23].copy_from_slice(&codec.to_be_bytes());
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let bytes = with(&bytes, 43, &(-1i64).to_be_bytes());
        if let Ok(checked) = check(&bytes) {
            prop_assert_eq!(checked.payload.records().filter(Result::is_ok).count(), count as usize);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_leaves_a_batch_that_reads(at in 0usize..500, to in any::<u8>(), codec in 0usize..5) {
        let sent = three([NOW; 3], Codec::ALL[codec]);
        let at = CRC_START + at % (sent.len() - CRC_START);
        if let Ok(checked) = check(&with(&sent, at, &[to])) {
            let stored = RecordBatch::parse(checked.batch.bytes().clone()).unwrap();
            prop_assert_eq!(deltas(&stored), [0, 1, 2]);
        }
    }
}

//! Bytes written by hand: headers, versions that the oracle lacks, and what is shared instead of copied.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use uuid::Uuid;

use super::dice::{Dice, seed};
use crate::kafka::wire::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use crate::kafka::wire::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use crate::kafka::wire::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::kafka::wire::messages::list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
use crate::kafka::wire::messages::metadata::MetadataRequest;
use crate::kafka::wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::kafka::wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use crate::kafka::wire::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use crate::kafka::wire::messages::write_txn_markers::{WritableTxnMarker, WriteTxnMarkersRequest};
use crate::kafka::wire::{
    ApiKey, Frame, Preamble, Records, RequestBody, RequestHeader, Str, decode_message, decode_request,
    encode_message, encode_request, encode_response,
};

fn bytes(parts: &[&[u8]]) -> Bytes {
    Bytes::from(parts.concat())
}

// === headers ===

#[test]
fn a_request_header_keeps_the_old_client_id_in_flexible_versions() {
    let request = HeartbeatRequest { group_id: "g".into(), member_id: "m".into(), ..Default::default() };
    let client = Str::from("cli");
    let old = encode_request(7, Some(&client), 3, &request).expect("it is valid").into_bytes();
    let body: &[u8] = &[0, 1, b'g', 0, 0, 0, 0, 0, 1, b'm', 0xff, 0xff];
    let header: &[u8] = &[0, 12, 0, 3, 0, 0, 0, 7, 0, 3, b'c', b'l', b'i'];
    assert_eq!(old, bytes(&[&[0, 0, 0, 25], header, body]));

    let new = encode_request(7, Some(&client), 4, &request).expect("it is valid").into_bytes();
    let body: &[u8] = &[2, b'g', 0, 0, 0, 0, 2, b'm', 0, 0];
    let header: &[u8] = &[0, 12, 0, 4, 0, 0, 0, 7, 0, 3, b'c', b'l', b'i', 0];
    assert_eq!(new, bytes(&[&[0, 0, 0, 24], header, body]));

    let (header, body) = decode_request(new.slice(4..)).expect("it is valid");
    let client_id = Some(client);
    assert_eq!(header, RequestHeader { api: ApiKey::Heartbeat, version: 4, correlation_id: 7, client_id });
    assert_eq!(body, RequestBody::Heartbeat(request));
}

#[test]
fn tagged_fields_of_a_request_header_are_skipped() {
    // Heartbeat 4 without a client id, with a tagged field of two bytes in the header.
    let header: &[u8] = &[0, 12, 0, 4, 0, 0, 0, 7, 0xff, 0xff, 1, 5, 2, 9, 9];
    let frame = bytes(&[header, &[2, b'g', 0, 0, 0, 0, 2, b'm', 0, 0]]);
    let (header, body) = decode_request(frame).expect("it is valid");
    assert_eq!((header.client_id, header.correlation_id), (None, 7));
    assert!(matches!(body, RequestBody::Heartbeat(request) if request.group_id == "g"));
}

#[test]
fn what_cannot_be_read_can_still_be_answered() {
    let frame = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 5, 1, 2, 3]);
    let preamble = Preamble { request_api_key: 18, request_api_version: 99, correlation_id: 5 };
    assert_eq!(Preamble::read(&frame), Ok(preamble));
}

#[test]
fn a_response_header_is_flexible_but_for_api_versions() {
    let response = HeartbeatResponse { throttle_time_ms: 1, error_code: 27 };
    let body: &[u8] = &[0, 0, 0, 1, 0, 27];
    let frame = |version| encode_response(9, version, &response).map(Frame::into_bytes);
    assert_eq!(frame(3), Ok(bytes(&[&[0, 0, 0, 10, 0, 0, 0, 9], body])));
    assert_eq!(frame(4), Ok(bytes(&[&[0, 0, 0, 12, 0, 0, 0, 9, 0], body, &[0]])));

    let api_keys = vec![ApiVersion { api_key: 18, min_version: 0, max_version: 4 }];
    let response = ApiVersionsResponse { api_keys, ..Default::default() };
    let body: &[u8] = &[0, 0, 2, 0, 18, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0];
    let frame = encode_response(9, 3, &response).map(Frame::into_bytes);
    assert_eq!(frame, Ok(bytes(&[&[0, 0, 0, 19, 0, 0, 0, 9], body])));
}

// === versions that the oracle lacks ===

#[test]
fn produce_0_to_2_are_read_and_answered() {
    let topic: &[u8] = &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 2, 8, 9];
    let body = bytes(&[&[0, 1, 0, 0, 0, 30], topic]);
    for version in 0..3 {
        let request: ProduceRequest = decode_message(body.clone(), version).expect("it is valid");
        assert_eq!((request.acks, request.timeout_ms, request.transactional_id), (1, 30, None));
        assert_eq!(request.topic_data[0].name, "t");
        assert_eq!(request.topic_data[0].partition_data[0].index, 5);
        assert_eq!(request.topic_data[0].partition_data[0].records.as_deref(), Some(&[8, 9][..]));
    }

    let partition =
        PartitionProduceResponse { index: 5, error_code: 35, base_offset: -1, ..Default::default() };
    let topic =
        TopicProduceResponse { name: "t".into(), partition_responses: vec![partition], ..Default::default() };
    let response = ProduceResponse { responses: vec![topic], throttle_time_ms: 3, ..Default::default() };
    let written = |version| encode_message(&response, version).expect("it is valid").into_bytes();
    let zero: &[u8] =
        &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 5, 0, 35, 255, 255, 255, 255, 255, 255, 255, 255];
    let throttle: &[u8] = &[0, 0, 0, 3];
    assert_eq!(written(0), zero);
    assert_eq!(written(1), bytes(&[zero, throttle]));
    assert_eq!(written(2), bytes(&[zero, &[255; 8], throttle]));
}

#[test]
fn list_offsets_11_is_written_as_10() {
    let mut dice = Dice::new(seed());
    for _ in 0..20 {
        let request: ListOffsetsRequest = dice.message(10);
        assert_eq!(encode_message(&request, 11), encode_message(&request, 10));
        let response: ListOffsetsResponse = dice.message(10);
        assert_eq!(encode_message(&response, 11), encode_message(&response, 10));
    }
}

#[test]
fn offset_commit_10_names_topics_by_id() {
    let partition = OffsetCommitRequestPartition {
        partition_index: 1,
        committed_offset: 2,
        committed_leader_epoch: 3,
        committed_metadata: Some("m".into()),
    };
    let topic_id = Uuid::from_u128(0xabcd);
    let topic = OffsetCommitRequestTopic { name: "gone".into(), topic_id, partitions: vec![partition] };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: 4,
        member_id: "m".into(),
        topics: vec![topic],
        ..Default::default()
    };
    let head: &[u8] = &[2, b'g', 0, 0, 0, 4, 2, b'm', 0, 2];
    let partition: &[u8] = &[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 2, b'm', 0, 0, 0];
    let written = |version| encode_message(&request, version).expect("it is valid").into_bytes();
    assert_eq!(written(9), bytes(&[head, &[5, b'g', b'o', b'n', b'e'], partition]));
    assert_eq!(written(10), bytes(&[head, topic_id.as_bytes(), partition]));
}

#[test]
fn offset_fetch_10_names_topics_by_id() {
    let topic_id = Uuid::from_u128(0xabcd);
    let topic = OffsetFetchRequestTopics { name: "gone".into(), topic_id, partition_indexes: vec![1] };
    let group = OffsetFetchRequestGroup {
        group_id: "g".into(),
        member_id: Some("m".into()),
        member_epoch: 4,
        topics: Some(vec![topic]),
    };
    let request = OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
    let head: &[u8] = &[2, 2, b'g', 2, b'm', 0, 0, 0, 4, 2];
    let tail: &[u8] = &[2, 0, 0, 0, 1, 0, 0, 1, 0];
    let written = |version| encode_message(&request, version).expect("it is valid").into_bytes();
    assert_eq!(written(9), bytes(&[head, &[5, b'g', b'o', b'n', b'e'], tail]));
    assert_eq!(written(10), bytes(&[head, topic_id.as_bytes(), tail]));
}

#[test]
fn write_txn_markers_2_adds_the_version_of_transactions() {
    let marker = WritableTxnMarker {
        producer_id: 1,
        producer_epoch: 2,
        transaction_result: true,
        topics: Vec::new(),
        coordinator_epoch: 3,
        transaction_version: 2,
    };
    let request = WriteTxnMarkersRequest { markers: vec![marker] };
    let common: &[u8] = &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 1, 0, 0, 0, 3];
    let written = |version| encode_message(&request, version).expect("it is valid").into_bytes();
    assert_eq!(written(1), bytes(&[common, &[0, 0]]));
    assert_eq!(written(2), bytes(&[common, &[2, 0, 0]]));
}

// === shared memory ===

/// Whether `part` lies in the memory of `whole`.
fn is_in(part: &[u8], whole: &[u8]) -> bool {
    whole.as_ptr_range().contains(&part.as_ptr())
}

#[test]
fn produced_records_and_names_are_slices_of_the_frame() {
    let mut dice = Dice::new(seed());
    for version in 3..=13 {
        let request: ProduceRequest = dice.message(version);
        let body = encode_message(&request, version).expect("it is valid").into_bytes();
        let read: ProduceRequest = decode_message(body.clone(), version).expect("it is valid");
        for topic in &read.topic_data {
            assert!(topic.name.is_empty() || is_in(topic.name.as_bytes(), &body));
            let records = topic.partition_data.iter().filter_map(|p| p.records.as_ref());
            assert!(records.filter(|r| !r.is_empty()).all(|r| is_in(r, &body)));
        }
    }
}

/// A fetch response with a large, a small and a large batch, and the batches.
fn fetched() -> (FetchResponse, [Bytes; 3]) {
    let batches = [Bytes::from(vec![1; 5_000]), Bytes::from(vec![2; 100]), Bytes::from(vec![3; 6_000])];
    let partition = |partition_index, records: Records| PartitionData {
        partition_index,
        high_watermark: 9,
        records: Some(records),
        ..Default::default()
    };
    let partitions = vec![partition(0, batches.iter().cloned().collect()), partition(1, Records::new())];
    let topic = FetchableTopicResponse { topic: "t".into(), partitions, ..Default::default() };
    (FetchResponse { responses: vec![topic], ..Default::default() }, batches)
}

#[test]
fn fetched_batches_are_queued_and_not_copied() {
    let (response, batches) = fetched();
    let frame = encode_response(1, 12, &response).expect("it is valid");
    let segments: Vec<Bytes> = frame.segments().cloned().collect();
    assert_eq!(segments.len(), 5, "head, batch, small batch, batch, the rest");
    assert_eq!(segments[1].as_ptr(), batches[0].as_ptr());
    assert_eq!(segments[2], batches[1]);
    assert_eq!(segments[3].as_ptr(), batches[2].as_ptr());
    assert_eq!(segments.iter().map(Bytes::len).sum::<usize>(), frame.len());

    let whole = frame.clone().into_bytes();
    assert_eq!(u32::from_be_bytes(*whole.first_chunk().expect("it has four")) as usize, whole.len() - 4);
    let read: FetchResponse = decode_message(whole.slice(9..), 12).expect("it is valid");
    let records = read.responses[0].partitions[0].records.as_ref().expect("it has records");
    assert_eq!(records.batches().concat(), batches.concat());
    assert_eq!(records.len(), 11_100);
    assert_eq!(read.responses[0].partitions[1].records, Some(Records::new()));
}

#[test]
fn a_frame_is_written_in_any_pieces() {
    let (response, _) = fetched();
    let frame = encode_response(1, 12, &response).expect("it is valid");
    let whole = frame.clone().into_bytes();
    for step in [1, 7, 4_999, 5_000, 5_001, 20_000] {
        let mut frame = frame.clone();
        let mut written = BytesMut::new();
        while frame.has_remaining() {
            let mut slots = [IoSlice::new(&[]); 3];
            let filled = frame.chunks_vectored(&mut slots);
            assert_eq!(&slots[0][..], frame.chunk());
            let offered: Vec<u8> =
                slots[..filled].iter().flat_map(|slot| slot.iter().copied()).take(step).collect();
            written.extend_from_slice(&offered);
            frame.advance(offered.len());
        }
        assert_eq!(written, whole, "in steps of {step}");
        assert_eq!((frame.len(), frame.segments().count()), (0, 0));
    }
}

#[test]
fn the_head_is_allocated_once() {
    let request = MetadataRequest { topics: None, ..Default::default() };
    let frame = encode_request(1, None, 12, &request).expect("it is valid");
    assert_eq!(frame.segments().count(), 1);
    let (response, _) = fetched();
    let frame = encode_response(1, 12, &response).expect("it is valid");
    let copied: Vec<&Bytes> = frame.segments().filter(|s| s.len() < 5_000).collect();
    // The pieces between the shared batches lie in one allocation, in order and without gaps.
    for pair in copied.windows(2) {
        assert_eq!(pair[0].as_ptr_range().end, pair[1].as_ptr_range().start);
    }
    assert_eq!(copied.len(), 3);
}

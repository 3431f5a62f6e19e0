//! Broken bytes: each is refused with what is wrong and where, before memory is taken for what it claims.

use bytes::{BufMut, Bytes, BytesMut};

use super::dice::{Dice, Generate, seed};
use crate::kafka::wire::apis::apis;
use crate::kafka::wire::codec::{Message, Request};
use crate::kafka::wire::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse;
use crate::kafka::wire::messages::delete_topics::{DeletableTopicResult, DeleteTopicsResponse};
use crate::kafka::wire::messages::describe_groups::DescribeGroupsRequest;
use crate::kafka::wire::messages::fetch::FetchRequest;
use crate::kafka::wire::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::kafka::wire::messages::join_group::JoinGroupResponse;
use crate::kafka::wire::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};
use crate::kafka::wire::messages::offset_fetch::OffsetFetchRequest;
use crate::kafka::wire::{
    ApiKey, DecodeError, EncodeError, Fault, Frame, Str, Versions, decode_beginning, decode_message,
    decode_request, encode_message, encode_request, encode_response, messages,
};

/// Shorter and longer bytes than the message, and tagged fields that nobody knows.
fn check<M: Message + Generate>(seed: u64) {
    let mut dice = Dice::new(seed);
    dice.untagged = true;
    for version in M::VERSIONS.first..=M::VERSIONS.last {
        for _ in 0..4 {
            let message: M = dice.message(version);
            let at = format!("{} {version}, seed {seed}: {message:?}", M::NAME);
            let bytes = encode_message(&message, version).expect(&at).into_bytes();
            for end in 0..bytes.len() {
                let refused = decode_message::<M>(bytes.slice(..end), version).expect_err(&at);
                assert!(matches!(refused, DecodeError::Field { .. }), "{refused:?} at {end}, {at}");
            }

            let mut long = BytesMut::from(&bytes[..]);
            long.put_u8(0);
            let trailing = DecodeError::Trailing { message: M::NAME, found: 1 };
            let long = long.freeze();
            assert_eq!(decode_message::<M>(long.clone(), version), Err(trailing), "{at}");
            assert_eq!(decode_beginning::<M>(long, version).as_ref(), Ok(&message), "{at}");

            if M::FLEXIBLE.contain(version) {
                let mut tagged = BytesMut::from(&bytes[..]);
                assert_eq!(tagged.last(), Some(&0), "no tagged fields, {at}");
                tagged.truncate(bytes.len() - 1);
                // Two fields: tag 4242 with three bytes, tag 99,999 with none.
                tagged.put_slice(&[2, 0x92, 0x21, 3, 7, 7, 7, 0x9f, 0x8d, 6, 0]);
                assert_eq!(decode_message(tagged.freeze(), version), Ok(message), "unknown tags, {at}");
            }
        }
    }
}

macro_rules! refusal_tests {
    ($($name:ident = $key:literal, $first:literal - $last:literal, $module:ident::$request:ident;)*) => {
        /// Changes bytes of valid requests and reads what comes out.
        fn disturb(dice: &mut Dice) {
            $(for version in $first..=$last {
                let request: messages::$module::$request = dice.message(version);
                let frame = encode_request(7, None, version, &request).expect("it is valid").into_bytes();
                for _ in 0..20 {
                    let mut broken = frame[4..].to_vec();
                    for _ in 0..=dice.below(3) {
                        let at = dice.below(broken.len());
                        broken[at] = [0, 1, 0x7f, 0x80, 0xff, dice.next() as u8][dice.below(6)];
                    }
                    if let Ok((header, body)) = decode_request(Bytes::from(broken)) {
                        assert!(header.api.served().contain(header.version), "{header:?} {body:?}");
                    }
                }
            })*
        }

        $(
            #[test]
            fn $module() {
                type Asks = messages::$module::$request;
                check::<Asks>(seed());
                check::<<Asks as Request>::Response>(seed());
            }
        )*
    };
}

apis!(refusal_tests);

#[test]
fn disturbed_requests_are_read_or_refused() {
    let mut dice = Dice::new(seed());
    (0..4).for_each(|_| disturb(&mut dice));
}

fn field(message: &'static str, field: &'static str, fault: Fault) -> DecodeError {
    DecodeError::Field { message, field, fault }
}

#[test]
fn a_small_frame_that_claims_many_topics_is_refused_before_allocating() {
    // Metadata 12 with 2^32 - 2 topics, in 21 bytes: the generated crate asks for 309 GB.
    let mut frame = vec![0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
    frame.extend([0; 5]);
    assert_eq!(frame.len(), 21);
    let refused = decode_request(Bytes::from(frame));
    let fault = Fault::Length { found: i64::from(u32::MAX) - 1, most: 5 };
    assert_eq!(refused, Err(field("MetadataRequest", "topics", fault)));
}

#[test]
fn arrays_have_a_budget() {
    // Empty names: the count is honest, and the memory would be 24 times the frame.
    let topics = 1_500_000;
    let mut bytes = BytesMut::zeroed(4 + 2 * topics);
    bytes[..4].copy_from_slice(&1_500_000_i32.to_be_bytes());
    let fault = Fault::Large { limit: 64 << 20 };
    assert_eq!(
        decode_message::<MetadataRequest>(bytes.freeze(), 1),
        Err(field("MetadataRequest", "topics", fault))
    );
}

#[test]
fn negative_lengths_other_than_null_are_refused() {
    let metadata = |bytes: &'static [u8]| decode_message::<MetadataRequest>(Bytes::from_static(bytes), 1);
    assert_eq!(metadata(&[0xff, 0xff, 0xff, 0xff]).map(|m| m.topics), Ok(None));
    assert_eq!(
        metadata(&[0xff, 0xff, 0xff, 0xfe]),
        Err(field("MetadataRequest", "topics", Fault::Length { found: -2, most: 0 }))
    );
    assert_eq!(
        metadata(&[0, 0, 0, 1, 0x80, 0]),
        Err(field("MetadataRequestTopic", "name", Fault::Length { found: -32768, most: 0 }))
    );
}

#[test]
fn null_is_refused_where_a_version_has_none() {
    let bytes = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(
        decode_message::<MetadataRequest>(bytes.clone(), 0),
        Err(field("MetadataRequest", "topics", Fault::Null))
    );
    assert_eq!(
        decode_message::<DescribeGroupsRequest>(bytes, 0),
        Err(field("DescribeGroupsRequest", "groups", Fault::Null))
    );
    // What is written instead of a null that a version does not have is empty.
    let none = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(encode_message(&none, 0).map(Frame::into_bytes), Ok(Bytes::from_static(&[0; 4])));
}

/// A message after a way over the wire.
fn sent<M: Message>(message: &M, version: i16) -> M {
    decode_message(encode_message(message, version).expect("it is valid").into_bytes(), version)
        .expect("it is valid")
}

#[test]
fn null_comes_with_its_version() {
    // Each of these fields is older than its null (Kafka's `nullableVersions`); before, null is sent as empty.
    let empty = || Some(Str::default());
    let request = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!([0, 1].map(|v| sent(&request, v).topics), [Some(Vec::new()), None]);

    let topics = Some(vec![MetadataRequestTopic { name: None, ..Default::default() }]);
    let request = MetadataRequest { topics, ..Default::default() };
    let name = |v| sent(&request, v).topics.expect("it has topics")[0].name.clone();
    assert_eq!([9, 10].map(name), [empty(), None]);

    let topics = vec![MetadataResponseTopic { name: None, ..Default::default() }];
    let response = MetadataResponse { topics, ..Default::default() };
    assert_eq!([11, 12].map(|v| sent(&response, v).topics[0].name.clone()), [empty(), None]);

    let response = JoinGroupResponse { protocol_name: None, ..Default::default() };
    assert_eq!([6, 7].map(|v| sent(&response, v).protocol_name), [empty(), None]);

    let request = OffsetFetchRequest { topics: None, ..Default::default() };
    assert_eq!([1, 2].map(|v| sent(&request, v).topics), [Some(Vec::new()), None]);

    let responses = vec![DeletableTopicResult { name: None, ..Default::default() }];
    let response = DeleteTopicsResponse { responses, ..Default::default() };
    assert_eq!([5, 6].map(|v| sent(&response, v).responses[0].name.clone()), [empty(), None]);
}

#[test]
fn text_is_utf8() {
    let bytes = Bytes::from_static(&[0, 0, 0, 1, 0, 2, 0xc3, 0x28]);
    assert_eq!(
        decode_message::<MetadataRequest>(bytes, 1),
        Err(field("MetadataRequestTopic", "name", Fault::Utf8))
    );
    let bytes = Bytes::from_static(&[0, 0, 0, 1, 0, 2, 0xc3, 0xa9]);
    let topics =
        decode_message::<MetadataRequest>(bytes, 1).expect("it is valid").topics.expect("it is there");
    assert_eq!(topics[0].name.as_deref(), Some("é"));
}

#[test]
fn varints_have_at_most_32_bits() {
    let heartbeat = |length: &[u8]| {
        decode_message::<HeartbeatRequest>(Bytes::copy_from_slice(length), 4).expect_err("it is broken")
    };
    let at = |fault| field("HeartbeatRequest", "group_id", fault);
    assert_eq!(heartbeat(&[0xff, 0xff, 0xff, 0xff, 0x1f]), at(Fault::Varint));
    assert_eq!(heartbeat(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]), at(Fault::Varint));
    assert_eq!(heartbeat(&[0x80]), at(Fault::Short { found: 0, expected: 1 }));
    let most = Fault::Length { found: i64::from(u32::MAX) - 1, most: 0 };
    assert_eq!(heartbeat(&[0xff, 0xff, 0xff, 0xff, 0x0f]), at(most));
}

#[test]
fn the_marker_of_a_nullable_struct_is_checked() {
    let response = ConsumerGroupHeartbeatResponse { error_message: None, ..Default::default() };
    let mut bytes = encode_message(&response, 0).expect("it is valid").into_bytes().to_vec();
    let marker = bytes.len() - 2;
    assert_eq!(bytes[marker..], [0xff, 0], "assignment, tagged fields");
    bytes[marker] = 2;
    assert_eq!(
        decode_message::<ConsumerGroupHeartbeatResponse>(Bytes::from(bytes), 0),
        Err(field("ConsumerGroupHeartbeatResponse", "assignment", Fault::Marker { found: 2 }))
    );
}

#[test]
fn a_tagged_field_fills_its_size() {
    // Fetch 12 with `cluster_id`, tag 0, a string of one byte in a field of three.
    let request = FetchRequest { cluster_id: Some("c".into()), ..Default::default() };
    let bytes = encode_message(&request, 12).expect("it is valid").into_bytes();
    let tags = bytes.len() - 5;
    assert_eq!(bytes[tags..], [1, 0, 2, 2, b'c']);
    let with = |field: &[u8]| {
        let bytes = [&bytes[..tags], field].concat();
        decode_message::<FetchRequest>(Bytes::from(bytes), 12)
    };
    assert_eq!(with(&[1, 0, 2, 2, b'c']), Ok(request));
    let at = |fault| Err(field("FetchRequest", "cluster_id", fault));
    assert_eq!(with(&[1, 0, 3, 2, b'c', 0]), at(Fault::TagTrailing { found: 1 }));
    assert_eq!(with(&[1, 0, 1, 2, b'c']), at(Fault::Length { found: 1, most: 0 }));
    // The place is the last field read before.
    let short = Fault::Short { found: 2, expected: 9 };
    assert_eq!(with(&[1, 0, 9, 2, b'c']), Err(field("FetchRequest", "rack_id", short)));
}

#[test]
fn unknown_apis_and_versions_are_named() {
    let frame = |key: i16, version: i16| {
        let mut frame = BytesMut::new();
        frame.put_i16(key);
        frame.put_i16(version);
        frame.put_i32(1);
        frame.put_i16(-1);
        decode_request(frame.freeze()).expect_err("it is not served")
    };
    assert_eq!(frame(4, 0), DecodeError::ApiKey { key: 4 });
    assert_eq!(frame(-1, 0), DecodeError::ApiKey { key: -1 });
    let version = |api: ApiKey, found, last| DecodeError::Version {
        api,
        found,
        served: Versions::new(api.served().first, last),
    };
    assert_eq!(frame(18, 99), version(ApiKey::ApiVersions, 99, 4));
    assert_eq!(frame(3, -1), version(ApiKey::Metadata, -1, 13));
    assert_eq!(version(ApiKey::ApiVersions, 99, 4).to_string(), "ApiVersions in version 99, expected 0 to 4");

    let short = decode_request(Bytes::from_static(&[0, 3, 0, 1, 0]));
    assert_eq!(short, Err(field("RequestHeader", "correlation_id", Fault::Short { found: 1, expected: 4 })));
    let text = short.expect_err("it is short").to_string();
    assert_eq!(text, "RequestHeader.correlation_id: 1 bytes left, expected 4");
}

#[test]
fn what_does_not_fit_its_length_field_is_not_written() {
    let long = HeartbeatRequest { group_id: Str::from("g".repeat(40_000)), ..Default::default() };
    let refused = EncodeError::Length {
        message: "HeartbeatRequest",
        field: "group_id",
        found: 40_000,
        most: i16::MAX as usize,
    };
    assert_eq!(encode_message(&long, 3), Err(refused));
    assert_eq!(encode_message(&long, 4).map(|frame: Frame| frame.len()), Ok(3 + 40_000 + 4 + 1 + 1 + 1));

    let known = Versions::new(0, 4);
    let refused = EncodeError::Version { message: "HeartbeatResponse", found: 5, known };
    assert_eq!(encode_response(1, 5, &HeartbeatResponse::default()), Err(refused));
    let refused = DecodeError::MessageVersion { message: "HeartbeatResponse", found: 5, known };
    assert_eq!(decode_message::<HeartbeatResponse>(Bytes::new(), 5), Err(refused));
}

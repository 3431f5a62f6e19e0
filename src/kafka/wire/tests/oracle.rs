//! Every message in every version, both ways, against the crate `kafka-protocol`.
//!
//! A random message is written here, read there, written there again and read here: the bytes must be the same, and so
//! must what the two read, compared as `Debug` text, in which the names of structs and fields are. A field that is in the
//! wrong place, of the wrong type, in the wrong versions or wrongly named shows in one or the other, and a wrong default
//! shows in the versions that lack the field. At the end each field must have had a value of its own at least once.
//!
//! In which versions a field may be null is not compared, because the crate takes null in all of them; `refusals.rs` has
//! the fields that got it later than they came.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use super::dice::{Dice, Generate, seed};
use crate::kafka::wire::apis::apis;
use crate::kafka::wire::codec::{Message, Request, Versions};
use crate::kafka::wire::{ApiKey, decode_message, encode_message, messages};

/// Messages per version.
const ROUNDS: usize = 60;

/// Versions that are read here and not there, with the reason. `frames.rs` has bytes of them written by hand.
const NOT_THERE: [(&str, Versions, &str); 8] = [
    ("ProduceRequest", Versions::new(0, 2), "Kafka 4 dropped them; they are read here to answer an error"),
    ("ProduceResponse", Versions::new(0, 2), "likewise"),
    ("ListOffsetsRequest", Versions::new(11, 11), "newer than the crate; the fields of version 10"),
    ("ListOffsetsResponse", Versions::new(11, 11), "likewise"),
    (
        "OffsetCommitRequest",
        Versions::new(10, 10),
        "unstable in Kafka 4.1, from which the crate is generated",
    ),
    ("OffsetFetchRequest", Versions::new(10, 10), "likewise"),
    ("WriteTxnMarkersRequest", Versions::new(2, 2), "newer than the crate"),
    ("WriteTxnMarkersResponse", Versions::new(2, 2), "newer than the crate; the fields of version 1"),
];

/// Fields that only one side declares, at their default.
const ONE_SIDED: [&str; 5] = [
    ", transaction_version: 0",
    ", enable_2_pc: false",
    ", keep_prepared_txn: false",
    ", ongoing_txn_producer_id: -1",
    ", ongoing_txn_producer_epoch: -1",
];

/// What is the same has the same text.
fn text(message: &dyn Debug) -> String {
    let mut text = format!("{message:?}");
    text = text.replace(" { unknown_tagged_fields: {} }", "").replace(", unknown_tagged_fields: {}", "");
    for wrapper in ["TopicName(", "GroupId(", "BrokerId(", "ProducerId(", "TransactionalId("] {
        while let Some(start) = text.find(wrapper) {
            let end = text[start..].find(')').expect("it is closed") + start;
            text.remove(end);
            text.replace_range(start..start + wrapper.len(), "");
        }
    }
    for field in ONE_SIDED {
        text = text.replace(field, "");
    }
    // Two structs of the crate have one name, in the request and in the response.
    text.replace("TopicRequest { topic_name", "TopicData { topic_name")
        .replace("PartitionRequest {", "PartitionData {")
}

/// Every version of one message; says which the oracle does not have.
fn check<Ours, Theirs>(seed: u64)
where
    Ours: Message + Generate + Default + Clone,
    Theirs: kafka_protocol::protocol::Message + Encodable + Decodable + Debug + Default,
{
    let name = Ours::NAME;
    assert_eq!(text(&Ours::default()), text(&Theirs::default()), "defaults");

    let mut dice = Dice::new(seed);
    for version in Ours::VERSIONS.first..=Ours::VERSIONS.last {
        let known = version >= Theirs::VERSIONS.min && version <= Theirs::VERSIONS.max;
        let listed =
            NOT_THERE.iter().any(|(message, versions, _)| *message == name && versions.contain(version));
        assert_ne!(
            known, listed,
            "{name} {version} is either compared or in the list of those that cannot be"
        );

        for round in 0..ROUNDS {
            let message: Ours = dice.message(version);
            let at = format!("{name} {version}, round {round}, seed {seed}: {message:?}");
            let bytes = encode_message(&message, version).expect(&at).into_bytes();
            let back: Ours = decode_message(bytes.clone(), version).expect(&at);
            assert_eq!(back, message, "read again, {at}");
            if known {
                compare::<Theirs>(&message, &bytes, version, &at);
            }
        }
    }
    let never: Vec<_> = dice.asked.difference(&dice.filled).collect();
    assert!(never.is_empty(), "{name}: never with a value of their own: {never:?}");
}

fn compare<Theirs: Encodable + Decodable + Debug>(ours: &dyn Debug, bytes: &Bytes, version: i16, at: &str) {
    let mut rest = bytes.clone();
    let read = Theirs::decode(&mut rest, version).expect(at);
    assert!(rest.is_empty(), "{} bytes left over, {at}", rest.len());
    assert_eq!(text(ours), text(&read), "{at}");

    let mut written = BytesMut::new();
    read.encode(&mut written, version).expect(at);
    assert_eq!(*bytes, written, "{at}");
}

/// Header versions of requests and responses.
fn check_headers<R, Theirs>()
where
    R: Request,
    Theirs: kafka_protocol::protocol::Request,
{
    assert_eq!(R::API.key(), Theirs::KEY);
    for version in R::VERSIONS.first.max(Theirs::VERSIONS.min)..=R::VERSIONS.last.min(Theirs::VERSIONS.max) {
        let request = if R::FLEXIBLE.contain(version) { 2 } else { 1 };
        assert_eq!(request, Theirs::header_version(version), "{} {version}", R::NAME);
        let flexible = <R::Response as Message>::FLEXIBLE.contain(version) && R::API != ApiKey::ApiVersions;
        let response = <Theirs::Response as HeaderVersion>::header_version(version);
        assert_eq!(i16::from(flexible), response, "{} {version}", R::NAME);
    }
    let served = R::API.served();
    assert!(R::VERSIONS.contain(served.first) && R::VERSIONS.contain(served.last), "{} is served", R::NAME);
    assert_eq!(R::API.flexible(), R::FLEXIBLE);
}

macro_rules! oracle_tests {
    ($($name:ident = $key:literal, $first:literal - $last:literal, $module:ident::$request:ident;)*) => {$(
        #[test]
        fn $module() {
            type Ours = messages::$module::$request;
            type Theirs = theirs::$request;
            check::<Ours, Theirs>(seed());
            check::<<Ours as Request>::Response, <Theirs as kafka_protocol::protocol::Request>::Response>(seed());
            check_headers::<Ours, Theirs>();
        }
    )*};
}

apis!(oracle_tests);

#[test]
fn consumer_protocol() {
    use messages::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    check::<ConsumerProtocolSubscription, theirs::ConsumerProtocolSubscription>(seed());
    check::<ConsumerProtocolAssignment, theirs::ConsumerProtocolAssignment>(seed());
}

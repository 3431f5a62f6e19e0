//! What the fuzz targets do with their bytes. The server's modules are taken in as they are, without the rest of it.

#![allow(dead_code, unreachable_pub, reason = "only parts of the server are here")]

pub mod kafka;
#[path = "../../../src/model/mod.rs"]
pub mod model;

use bytes::{BufMut, Bytes, BytesMut};

use kafka::wire::{RequestBody, decode_request};
use model::batch::validate::{Rules, Timestamps, validate};
use model::batch::{Codec, HEADER_LEN, MarkerKind, RecordBatch};

/// Bytes of uncompressed records: small, so that a bomb need not be large to be one.
pub const UNCOMPRESSED_MAX: usize = 1 << 20;

/// A frame, without its length.
pub fn request(data: &[u8]) -> Option<RequestBody> {
    let (header, body) = decode_request(Bytes::copy_from_slice(data)).ok()?;
    assert!(header.api.served().contain(header.version));
    Some(body)
}

/// What a client sends for a partition. Unless the first byte is odd, size and checksum are put right first: almost
/// nothing would get past them.
pub fn batch(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let mut bytes = BytesMut::from(bytes);
    if mode & 1 == 0 && bytes.len() >= HEADER_LEN {
        seal(&mut bytes);
    }
    let timestamps = match mode & 2 {
        0 => Timestamps::Create { from: 0, to: 253_402_300_799_999 },
        _ => Timestamps::Append { now: 1_700_000_000_000 },
    };
    let rules = Rules {
        size_max: UNCOMPRESSED_MAX,
        uncompressed_max: UNCOMPRESSED_MAX,
        key_required: mode & 4 != 0,
        timestamps,
    };
    let Ok(checked) = validate(bytes.freeze(), &rules) else { return };

    // What is stored can be read, by the server and by everybody who fetches it.
    let stored = RecordBatch::parse(checked.batch.bytes().clone()).expect("a checked batch is sound");
    let payload = stored.payload(UNCOMPRESSED_MAX).expect("it was uncompressed before");
    assert_eq!(payload.bytes(), checked.payload.bytes());
    let offsets: Vec<u32> =
        payload.records().map(|record| record.expect("its records were read before").offset_delta).collect();
    assert_eq!(offsets.len(), stored.header().count as usize);
    assert!(offsets.iter().copied().eq(0..stored.header().count));
    assert!(checked.max_timestamp_delta <= stored.header().last_offset_delta);
    let _ = MarkerKind::of(&stored);

    // The other codecs and the cleaner keep the records.
    for codec in Codec::ALL {
        let again = stored.clone().with_codec(codec, UNCOMPRESSED_MAX).expect("it was uncompressed before");
        let again = RecordBatch::parse(again.bytes().clone()).expect("a rewritten batch is sound");
        assert_eq!(again.payload(UNCOMPRESSED_MAX).expect("it is the same").bytes(), payload.bytes());
    }
    let kept = stored.retain(UNCOMPRESSED_MAX, None, |_| false).expect("it was read before");
    assert_eq!(kept.header().next_offset(), stored.header().next_offset());
}

/// The compressed records of a batch, by codec (first byte) and number of records (second byte); then the same bytes as
/// what is to be compressed.
pub fn payload(data: &[u8]) {
    let &[codec, count, ref bytes @ ..] = data else { return };
    let codec = Codec::ALL[usize::from(codec) % Codec::ALL.len()];
    let packed = batch_of(codec, count.into(), bytes);
    if let Ok(payload) = packed.payload(UNCOMPRESSED_MAX) {
        assert!(payload.bytes().len() <= UNCOMPRESSED_MAX);
        assert!(payload.records().count() <= usize::from(count) + 1);
    }

    let compressed = batch_of(codec, count.into(), &codec.compress(bytes));
    let back = compressed.payload(bytes.len()).expect("what was compressed here can be uncompressed");
    assert_eq!(back.bytes(), bytes);
}

/// A batch with `records` as its bytes behind the header.
fn batch_of(codec: Codec, count: i32, records: &[u8]) -> RecordBatch {
    let mut bytes = BytesMut::zeroed(HEADER_LEN);
    bytes[16] = 2;
    bytes[21..23].copy_from_slice(&(codec as i16).to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).max(0).to_be_bytes());
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    bytes.put_slice(records);
    seal(&mut bytes);
    RecordBatch::parse(bytes.freeze()).expect("it has a size, a checksum and a known codec")
}

/// Writes length and checksum.
pub fn seal(bytes: &mut [u8]) {
    let size = (bytes.len() - 12) as u32;
    bytes[8..12].copy_from_slice(&size.to_be_bytes());
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..]) as u32;
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

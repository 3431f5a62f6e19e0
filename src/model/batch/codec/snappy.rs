//! Snappy in its two framings: xerial's, which Kafka's Java client writes and everyone reads, and the raw format of one
//! block, which some clients send. Xerial's, big endian (source: snappy-java, "Compatibility Notes"):
//!
//! ```text
//! 82 53 4e 41 50 50 59 00   i32 version = 1   i32 oldest compatible version = 1
//! then, as often as there are blocks:  i32 length   so many bytes of raw snappy
//! ```

use bytes::BufMut;
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::BatchError;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Bytes of the magic and of both versions.
const START_LEN: usize = 16;
/// Bytes before compression of a block, as snappy-java cuts them.
const BLOCK: usize = 32 << 10;
/// The most that a byte can stand for: the densest element makes 64 bytes out of 3.
const RATIO_MAX: usize = 22;

pub(super) fn pack(encoder: &mut Encoder, raw: &[u8], out: &mut Vec<u8>) {
    out.put_slice(&MAGIC);
    out.put_u32(1);
    out.put_u32(1);
    for block in raw.chunks(BLOCK) {
        let at = out.len() + 4;
        out.resize(at + max_compress_len(block.len()), 0);
        let len = encoder.compress(block, &mut out[at..]).expect("the room is what snappy asks for");
        out.truncate(at + len);
        out[at - 4..at].copy_from_slice(&(len as u32).to_be_bytes());
    }
}

pub(super) fn unpack(raw: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    if !raw.starts_with(&MAGIC) {
        block(&mut decoder, raw, &mut out, limit)?;
        return Ok(out);
    }
    let mut left = raw.get(START_LEN..).ok_or(CUT_SHORT)?;
    while !left.is_empty() {
        let (len, rest) = left.split_first_chunk().ok_or(CUT_SHORT)?;
        let (packed, rest) = usize::try_from(u32::from_be_bytes(*len))
            .ok()
            .and_then(|len| rest.split_at_checked(len))
            .ok_or(CUT_SHORT)?;
        block(&mut decoder, packed, &mut out, limit)?;
        left = rest;
    }
    Ok(out)
}

const CUT_SHORT: BatchError = BatchError::Malformed("snappy cut short");

/// Appends a block, whose first bytes claim how much is in it.
fn block(decoder: &mut Decoder, packed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), BatchError> {
    const BROKEN: BatchError = BatchError::Malformed("snappy that does not uncompress");
    let claim = decompress_len(packed).map_err(|_| BROKEN)?;
    if claim > limit.saturating_sub(out.len()) {
        return Err(BatchError::Large { limit });
    }
    if claim > packed.len().saturating_mul(RATIO_MAX) {
        return Err(BROKEN);
    }
    let at = out.len();
    out.resize(at + claim, 0);
    decoder.decompress(packed, &mut out[at..]).map_err(|_| BROKEN)?;
    Ok(())
}

//! lz4 in its frame format (source: `lz4_Frame_format.md` of the lz4 project): one frame, which is all that Kafka's
//! clients read.
//!
//! The frames of Kafka's Java client, of librdkafka and of this server all begin with the same seven bytes: blocks of
//! 64 KiB that stand alone, no checksums. They are read and written here, without a buffer in between; every other kind
//! of frame (Go's clients send checksums) goes through the library's reader.
//!
//! ```text
//! 04 22 4d 18   flags   block size   header checksum
//! then blocks:  u32 length, little endian, highest bit: not compressed   so many bytes
//! then          u32 0   perhaps a checksum
//! ```

use std::io::BufRead;

use bytes::BufMut;
use lz4_flex::block::{CompressTable, DecompressError};
use lz4_flex::block::{compress_into_with_table, decompress_into, get_maximum_output_size};
use lz4_flex::frame::FrameDecoder;

use super::{BatchError, first_room, room_for};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Version 1, blocks that stand alone, at most 64 KiB each.
const PLAIN_START: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 << 10;
/// Set in the flags when a checksum of the text follows the blocks.
const HAS_CHECKSUM: u8 = 1 << 2;
/// Set in the length of a block that is not compressed.
const AS_IT_IS: u32 = 1 << 31;
/// Text is rarely packed closer, and what is gets a second try.
const RATIO: usize = 8;

const CUT_SHORT: BatchError = BatchError::Malformed("lz4 frame cut short");
const BROKEN: BatchError = BatchError::Malformed("lz4 frame that does not uncompress");

pub(super) struct Packer {
    /// for the last block, which is mostly the only one
    small: CompressTable,
    /// for full blocks
    large: CompressTable,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { small: CompressTable::small(), large: CompressTable::large() }
    }

    pub(super) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        out.put_slice(&PLAIN_START);
        for block in raw.chunks(BLOCK) {
            let table = if block.len() < usize::from(u16::MAX) { &mut self.small } else { &mut self.large };
            let at = out.len() + 4;
            out.resize(at + get_maximum_output_size(block.len()), 0);
            let len = compress_into_with_table(block, &mut out[at..], table)
                .expect("the room is what lz4 asks for");
            let mut field = len as u32;
            if len < block.len() {
                out.truncate(at + len);
            } else {
                out.truncate(at);
                out.put_slice(block);
                field = block.len() as u32 | AS_IT_IS;
            }
            out[at - 4..at].copy_from_slice(&field.to_le_bytes());
        }
        out.put_u32_le(0);
    }
}

pub(super) fn unpack(raw: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    if let Some(blocks) = raw.strip_prefix(&PLAIN_START) {
        return unpack_plain(blocks, limit);
    }
    if !raw.starts_with(&MAGIC) {
        return Err(BatchError::Malformed("lz4 without its magic number"));
    }
    if !has_end(raw) {
        return Err(CUT_SHORT);
    }
    let mut out = first_room(raw.len(), limit);
    let mut frame = FrameDecoder::new(raw);
    loop {
        let piece = frame.fill_buf().map_err(|_| BROKEN)?;
        if piece.is_empty() {
            break;
        }
        if piece.len() > limit - out.len() {
            return Err(BatchError::Large { limit });
        }
        room_for(&mut out, piece.len(), limit);
        out.extend_from_slice(piece);
        let len = piece.len();
        frame.consume(len);
    }
    if frame.get_ref().is_empty() { Ok(out) } else { Err(BatchError::Malformed("bytes after the lz4 frame")) }
}

/// Is there a whole header, and a block of length 0 where the frame ends? The library takes the end of the bytes for the
/// end of the frame.
fn has_end(raw: &[u8]) -> bool {
    let checksum_len = if raw.get(4).is_some_and(|flags| flags & HAS_CHECKSUM != 0) { 4 } else { 0 };
    let blocks = raw.get(PLAIN_START.len()..).unwrap_or_default();
    blocks.len().checked_sub(checksum_len).is_some_and(|end| blocks[..end].ends_with(&[0; 4]))
}

/// What follows [`PLAIN_START`].
fn unpack_plain(mut left: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = first_room(left.len(), limit);
    loop {
        let (field, rest) = left.split_first_chunk().ok_or(CUT_SHORT)?;
        let field = u32::from_le_bytes(*field);
        if field == 0 {
            return if rest.is_empty() {
                Ok(out)
            } else {
                Err(BatchError::Malformed("bytes after the lz4 frame"))
            };
        }
        let len = (field & !AS_IT_IS) as usize;
        let (block, rest) = rest.split_at_checked(len).filter(|_| len <= BLOCK).ok_or(CUT_SHORT)?;
        left = rest;
        if out.len() >= limit && !block.is_empty() {
            return Err(BatchError::Large { limit });
        }
        if field & AS_IT_IS != 0 {
            room_for(&mut out, len, limit);
            out.extend_from_slice(block);
        } else {
            // To clear the room for a full block takes longer than to fill that for a small one (measured).
            unpack_block(block, &mut out, len.saturating_mul(RATIO).min(BLOCK), limit)
                .or_else(|_| unpack_block(block, &mut out, BLOCK, limit))
                .map_err(|_| BROKEN)?;
        }
        if out.len() > limit {
            return Err(BatchError::Large { limit });
        }
    }
}

/// Appends a block, of at most `room` bytes; after an error nothing is appended.
fn unpack_block(block: &[u8], out: &mut Vec<u8>, room: usize, limit: usize) -> Result<(), DecompressError> {
    let at = out.len();
    room_for(out, room, limit);
    out.resize(at + room, 0);
    let len = decompress_into(block, &mut out[at..]);
    out.truncate(at + *len.as_ref().unwrap_or(&0));
    len.map(|_| ())
}

//! The codecs of record batches: compressing what the server builds, uncompressing what anyone sent.
//!
//! Uncompressing never trusts a length that the bytes claim: room is made in proportion to the bytes that are there, and
//! grows until the caller's limit. Compressors keep their state between batches, one per thread and codec: with a new
//! one, gzip and zstd take half as long again for a batch of 1 KiB, and reading zstd twice as long (measured).

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};

use super::{BatchError, HEADER_LEN};

/// Bytes of the buffer for compressed records that a thread keeps: those of the largest batch by default, and room.
const SCRATCH_KEPT_MAX: usize = 2 << 20;
/// What a frame claims to hold is believed up to so many times its own bytes (a guess; text compresses 3 to 10 times).
const CLAIM_RATIO_MAX: usize = 64;
/// The first room for output whose size nothing tells: so many times the input (a guess).
const RATIO: usize = 4;

/// How the records of a batch are compressed; numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i16)]
pub enum Codec {
    /// not at all
    #[default]
    None = 0,
    /// RFC 1952
    Gzip = 1,
    /// in xerial's framing; raw is read too
    Snappy = 2,
    /// the frame format
    Lz4 = 3,
    /// RFC 8878
    Zstd = 4,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    pub(super) fn from_bits(bits: i16) -> Result<Self, BatchError> {
        Self::ALL.into_iter().find(|c| *c as i16 == bits).ok_or(BatchError::Codec(bits))
    }

    /// By Kafka's name in `compression.type`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name).or((name == "uncompressed").then_some(Self::None))
    }

    /// Kafka's name in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// `raw` compressed, at the level that Kafka's clients use by default; with [`Codec::None`] a copy.
    pub fn compress(self, raw: &[u8]) -> Bytes {
        self.with_compressed(raw, Bytes::copy_from_slice)
    }

    /// Room for a header and the compressed form of `raw`; `None` when that is not smaller.
    pub(super) fn pack(self, raw: &[u8]) -> Option<BytesMut> {
        if self == Self::None || raw.is_empty() {
            return None;
        }
        self.with_compressed(raw, |packed| {
            if packed.len() >= raw.len() {
                return None;
            }
            let mut out = BytesMut::with_capacity(HEADER_LEN + packed.len());
            out.put_bytes(0, HEADER_LEN);
            out.put_slice(packed);
            Some(out)
        })
    }

    /// Hands the compressed form of `raw` to `then`, which must not compress anything itself.
    fn with_compressed<R>(self, raw: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
        if self == Self::None {
            return then(raw);
        }
        PACKER.with_borrow_mut(|packer| {
            packer.out.clear();
            match self {
                Self::None => {}
                Self::Gzip => packer.gzip.get_or_insert_with(gzip::Packer::new).pack(raw, &mut packer.out),
                Self::Snappy => snappy::pack(
                    packer.snappy.get_or_insert_with(snap::raw::Encoder::new),
                    raw,
                    &mut packer.out,
                ),
                Self::Lz4 => packer.lz4.get_or_insert_with(lz4::Packer::new).pack(raw, &mut packer.out),
                Self::Zstd => packer.zstd.get_or_insert_with(zstd::Packer::new).pack(raw, &mut packer.out),
            }
            let done = then(&packer.out);
            if packer.out.capacity() > SCRATCH_KEPT_MAX {
                packer.out = Vec::new();
            }
            done
        })
    }

    /// `raw` uncompressed, at most `limit` bytes. Not compressed: a share, no copy.
    ///
    /// # Errors
    /// `Large` as soon as it is clear that there would be more, `Malformed` for what does not uncompress.
    pub(super) fn uncompress(self, raw: &Bytes, limit: usize) -> Result<Bytes, BatchError> {
        let out = match self {
            Self::None if raw.len() > limit => return Err(BatchError::Large { limit }),
            Self::None => return Ok(raw.clone()),
            // The cleaner leaves such a batch where it took all records out.
            _ if raw.is_empty() => return Ok(Bytes::new()),
            Self::Gzip => gzip::unpack(raw, limit)?,
            Self::Snappy => snappy::unpack(raw, limit)?,
            Self::Lz4 => lz4::unpack(raw, limit)?,
            Self::Zstd => zstd::unpack(raw, limit)?,
        };
        if out.len() > limit {
            return Err(BatchError::Large { limit });
        }
        Ok(out.into())
    }
}

thread_local! {
    static PACKER: RefCell<Packer> = RefCell::default();
}

/// The compressors of a thread.
#[derive(Default)]
struct Packer {
    /// where they write
    out: Vec<u8>,
    gzip: Option<gzip::Packer>,
    snappy: Option<snap::raw::Encoder>,
    lz4: Option<lz4::Packer>,
    zstd: Option<zstd::Packer>,
}

/// An empty buffer to uncompress `packed` bytes into.
fn first_room(packed: usize, limit: usize) -> Vec<u8> {
    Vec::with_capacity(packed.saturating_mul(RATIO).min(limit.saturating_add(1)))
}

/// Room for `more` bytes: doubled as long as there are so many below the limit, because a buffer that grows is held twice while
/// it is copied.
fn room_for(out: &mut Vec<u8>, more: usize, limit: usize) {
    if out.capacity() - out.len() < more {
        let left = limit.saturating_sub(out.len());
        out.reserve_exact(out.len().min(left).max(more));
    }
}

/// Doubles a buffer that is full, up to one byte more than the limit.
fn grow(out: &mut Vec<u8>, limit: usize) -> Result<(), BatchError> {
    let left = limit.checked_sub(out.len()).ok_or(BatchError::Large { limit })?;
    out.reserve_exact(out.len().max(4096).min(left.saturating_add(1)));
    Ok(())
}

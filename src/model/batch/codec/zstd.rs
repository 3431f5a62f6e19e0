//! zstd, as many frames in a row as there are (RFC 8878), which is how Java reads it.

use std::cell::RefCell;

use zstd::zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective};
use zstd::zstd_safe::{compress_bound, get_frame_content_size};

use super::{BatchError, CLAIM_RATIO_MAX, RATIO, grow};

/// Kafka's default, and zstd's own.
const LEVEL: i32 = 3;
/// Begins a frame. The library would also read formats from before 2016, whose decoders nobody looks after.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes of state that a thread keeps for uncompressing: the window of level 3 is 2 MiB.
const STATE_KEPT_MAX: usize = 4 << 20;

pub(super) struct Packer(CCtx<'static>);

impl Packer {
    pub(super) fn new() -> Self {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(LEVEL)).expect("it is a level that zstd has");
        Self(context)
    }

    pub(super) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        out.reserve(compress_bound(raw.len()));
        self.0.compress2(out, raw).expect("the room is what zstd asks for; else memory is out");
    }
}

// How far back a frame may reach stays at the library's own bound of 128 MiB: clients at level 22 ask for so much in every
// frame that does not say its size, however little is in it. The room for it is reserved, used as far as the frame goes
// (`limit`), and given back behind the batch.
thread_local! {
    static UNPACKER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

pub(super) fn unpack(raw: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    UNPACKER.with_borrow_mut(|kept| {
        let context = kept.get_or_insert_with(DCtx::create);
        let out = frames(context, raw, limit);
        if context.reset(ResetDirective::SessionOnly).is_err() || context.sizeof() > STATE_KEPT_MAX {
            *kept = None;
        }
        out
    })
}

fn frames(context: &mut DCtx<'static>, raw: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = room(raw, limit)?;
    let mut input = InBuffer::around(raw);
    while input.pos() < raw.len() {
        if !raw[input.pos()..].starts_with(&MAGIC) {
            return Err(BatchError::Malformed("zstd without its magic number"));
        }
        frame(context, &mut input, raw.len(), &mut out, limit)?;
    }
    Ok(out)
}

/// A frame may say how much is in it; with so much room zstd writes straight into it. The claim is checked by zstd.
fn room(raw: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let claim =
        get_frame_content_size(raw).map_err(|_| BatchError::Malformed("zstd with a broken header"))?;
    let claim = claim.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    if claim.is_some_and(|n| n > limit) {
        return Err(BatchError::Large { limit });
    }
    let likely = claim.unwrap_or(raw.len().saturating_mul(RATIO));
    Ok(Vec::with_capacity(likely.min(raw.len().saturating_mul(CLAIM_RATIO_MAX)).min(limit.saturating_add(1))))
}

fn frame(
    context: &mut DCtx<'static>,
    input: &mut InBuffer<'_>,
    input_len: usize,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), BatchError> {
    loop {
        let written = out.len();
        let left = context
            .decompress_stream(&mut OutBuffer::around_pos(out, written), input)
            .map_err(|_| BatchError::Malformed("zstd that does not uncompress"))?;
        if out.len() > limit {
            return Err(BatchError::Large { limit });
        }
        if left == 0 {
            return Ok(());
        }
        if out.len() == out.capacity() {
            grow(out, limit)?;
        } else if input.pos() == input_len {
            return Err(BatchError::Malformed("zstd cut short"));
        }
    }
}

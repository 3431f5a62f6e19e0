//! gzip, as many members in a row as there are (RFC 1952), which is how Java reads it.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{BatchError, first_room, grow};

/// The largest window, 32 KiB, which is also what readers have to expect.
const WINDOW_BITS: u8 = 15;

/// zlib's default level, 6, which is also Kafka's.
pub(super) struct Packer(Compress);

impl Packer {
    pub(super) fn new() -> Self {
        Self(Compress::new_gzip(Compression::default(), WINDOW_BITS))
    }

    pub(super) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        self.0.reset();
        // Deflate adds 5 bytes per 16 KiB at worst, gzip 18 around it.
        out.reserve(raw.len() + raw.len() / 1024 + 64);
        loop {
            let from = usize::try_from(self.0.total_in()).map_or(raw.len(), |n| n.min(raw.len()));
            let status = self.0.compress_vec(&raw[from..], out, FlushCompress::Finish);
            match status.expect("deflate refuses no input") {
                Status::StreamEnd => return,
                Status::Ok | Status::BufError => out.reserve(4096),
            }
        }
    }
}

pub(super) fn unpack(raw: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = first_room(raw.len(), limit);
    let mut left = raw;
    while !left.is_empty() {
        left = member(left, &mut out, limit)?;
    }
    Ok(out)
}

/// Appends one member; returns what follows it.
fn member<'a>(mut left: &'a [u8], out: &mut Vec<u8>, limit: usize) -> Result<&'a [u8], BatchError> {
    let mut inflate = Decompress::new_gzip(WINDOW_BITS);
    loop {
        if out.len() == out.capacity() {
            grow(out, limit)?;
        }
        let before = (inflate.total_in(), out.len());
        let status = inflate
            .decompress_vec(left, out, FlushDecompress::None)
            .map_err(|_| BatchError::Malformed("gzip that does not uncompress"))?;
        let consumed =
            usize::try_from(inflate.total_in() - before.0).map_or(left.len(), |n| n.min(left.len()));
        left = &left[consumed..];
        if out.len() > limit {
            return Err(BatchError::Large { limit });
        }
        if status == Status::StreamEnd {
            return Ok(left);
        }
        if consumed == 0 && out.len() == before.1 {
            return Err(BatchError::Malformed("gzip cut short"));
        }
    }
}

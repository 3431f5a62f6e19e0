//! The bytes of uploaded modules, in pieces of [`MODULE_PIECE_BYTES`] so that an upload never holds up the writer. Row:
//! the piece, under digest and index.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::super::commit::Commit;
use super::super::error::ReadError;
use super::super::families::Family;
use super::super::{Storage, keys};
use crate::model::limits::{MODULE_BYTES_MAX, MODULE_PIECE_BYTES};
use crate::model::module::Digest;

/// Stores a piece. Pieces of no published version are dropped when the storage is opened.
pub fn put(commit: &mut Commit, digest: &Digest, index: u32, piece: Bytes) {
    commit.put(Family::Modules, keys::module_piece(digest, index), piece);
}

/// The pieces of `bytes` with their indices, as [`put`] wants them. Nothing is copied.
pub fn pieces(bytes: &Bytes) -> impl Iterator<Item = (u32, Bytes)> {
    let cut = |at: usize| bytes.slice(at..(at + MODULE_PIECE_BYTES).min(bytes.len()));
    (0u32..).zip((0..bytes.len()).step_by(MODULE_PIECE_BYTES).map(cut))
}

/// Deletes all pieces.
pub fn delete(commit: &mut Commit, digest: &Digest) {
    let (start, end) = keys::module_pieces(digest);
    commit.delete_range(Family::Modules, start, end);
}

/// The whole bytes, checked against their digest; `None`: not there. Blocking: tens of megabytes.
pub fn load(storage: &Storage, digest: &Digest) -> Result<Option<Bytes>, ReadError> {
    let mut bytes = Vec::new();
    storage.db().scan(Family::Modules, keys::module_pieces(digest), |_, piece| {
        bytes.extend_from_slice(piece);
        if bytes.len() > MODULE_BYTES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if Digest::of(&bytes) != *digest {
        return Err(ReadError::Damaged(format!("bytes of the module {digest} have another digest")));
    }
    Ok(Some(bytes.into()))
}

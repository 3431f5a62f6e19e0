//! The entries of a packed call on their way into a guest's memory and out of it.
//!
//! The derived way stores and loads a list of records field by field, and looks up the guest's memory for each of them:
//! that is most of what a record costs that a transform only keeps. Here a list is taken in one go, in the layout that
//! the canonical ABI gives the record; everything else is left to the derived implementation.

#![expect(unsafe_code, reason = "wasmtime's traits for types that cross are unsafe to implement")]

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::bindings::{Action, EntryIn, EntryOut};

/// An entry, stored quickly where many stand together.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Entry(pub(super) EntryIn);

/// A list of answers, loaded quickly.
#[derive(Debug)]
pub(super) struct EntriesOut(pub(super) Vec<EntryOut>);

/// Bytes of an entry in a guest's memory: eight fields, `headers-len` followed by four bytes of padding.
const SIZE: usize = 40;

/// Bytes of an answer: `action` and the tag of `timestamp` are followed by padding.
const ANSWER_SIZE: usize = 48;
const ANSWER_ALIGN: usize = 8;

const _: () = assert!(<EntryIn as ComponentType>::SIZE32 == SIZE);
const _: () = assert!(<EntryOut as ComponentType>::SIZE32 == ANSWER_SIZE);
const _: () = assert!(<EntryOut as ComponentType>::ALIGN32 as usize == ANSWER_ALIGN);

// SAFETY: everything is that of `EntryIn`, whose implementation is derived.
unsafe impl ComponentType for Entry {
    type Lower = <EntryIn as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <EntryIn as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        EntryIn::typecheck(ty, types)
    }
}

// SAFETY: the first two are derived. The third stores for each item what the second would, through a checked slice;
// the test `entries_arrive_in_the_canonical_layout` reads them
// back from a guest.
unsafe impl Lower for Entry {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        self.0.linear_lower_to_flat(cx, ty, dst)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> wasmtime::Result<()> {
        self.0.linear_lower_to_memory(cx, ty, offset)
    }

    fn linear_store_list_to_memory<T>(
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        offset: usize,
        items: &[Self],
    ) -> wasmtime::Result<()> {
        let memory = &mut cx.as_slice_mut()[offset..][..items.len() * SIZE];
        for (to, Self(entry)) in memory.as_chunks_mut::<SIZE>().0.iter_mut().zip(items) {
            store(entry, to);
        }
        Ok(())
    }
}

fn store(entry: &EntryIn, to: &mut [u8; SIZE]) {
    to[0..4].copy_from_slice(&entry.topic.to_le_bytes());
    to[4..8].copy_from_slice(&entry.partition.to_le_bytes());
    to[8..16].copy_from_slice(&entry.offset.to_le_bytes());
    to[16..24].copy_from_slice(&entry.timestamp.to_le_bytes());
    to[24..28].copy_from_slice(&entry.key_len.to_le_bytes());
    to[28..32].copy_from_slice(&entry.value_len.to_le_bytes());
    to[32..36].copy_from_slice(&entry.headers_len.to_le_bytes());
}

// SAFETY: everything is that of `Vec<EntryOut>`, whose items have a derived implementation.
unsafe impl ComponentType for EntriesOut {
    type Lower = <Vec<EntryOut> as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <Vec<EntryOut> as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        Vec::<EntryOut>::typecheck(ty, types)
    }
}

// SAFETY: the first is that of the list. The second reads what that one would, with the same checks of bounds, alignment
// and fuel, through checked slices; the test `answers_are_read_in_the_canonical_layout` has a guest write them.
unsafe impl Lift for EntriesOut {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> wasmtime::Result<Self> {
        Vec::<EntryOut>::linear_lift_from_flat(cx, ty, src).map(Self)
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        _: InterfaceType,
        bytes: &[u8],
    ) -> wasmtime::Result<Self> {
        let (at, len) = (word(bytes, 0) as usize, word(bytes, 4) as usize);
        cx.consume_fuel_array(len, size_of::<EntryOut>())?;
        let end = len.checked_mul(ANSWER_SIZE).and_then(|size| at.checked_add(size));
        let memory = end.and_then(|end| cx.memory().get(at..end));
        let memory = memory.ok_or_else(|| wasmtime::Error::msg("a list of answers beyond the memory"))?;
        if !at.is_multiple_of(ANSWER_ALIGN) {
            return Err(wasmtime::Error::msg("a list of answers that is not aligned"));
        }
        memory.as_chunks().0.iter().map(load).collect::<wasmtime::Result<_>>().map(Self)
    }
}

fn load(from: &[u8; ANSWER_SIZE]) -> wasmtime::Result<EntryOut> {
    let action = match from[4] {
        0 => Action::Keep,
        1 => Action::Emit,
        2 => Action::Reject,
        _ => return Err(wasmtime::Error::msg("an action that does not exist")),
    };
    let timestamp = match from[16] {
        0 => None,
        1 => Some((u64::from(word(from, 24)) | u64::from(word(from, 28)) << 32).cast_signed()),
        _ => return Err(wasmtime::Error::msg("an option that is neither none nor some")),
    };
    Ok(EntryOut {
        source: word(from, 0),
        action,
        topic: word(from, 8),
        timestamp,
        key_len: word(from, 32).cast_signed(),
        value_len: word(from, 36).cast_signed(),
        headers_len: word(from, 40).cast_signed(),
    })
}

/// The four bytes at `at`, which are there.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

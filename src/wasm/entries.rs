//! The entries of a packed call on their way into a guest's memory.
//!
//! The derived way stores a list of records field by field, and looks up the guest's memory for each of them: that is
//! most of what a record costs that a transform only keeps. Here a list is stored in one go, in the layout that the
//! canonical ABI gives the record; everything else is left to the derived implementation.

#![expect(unsafe_code, reason = "wasmtime's traits for types that cross are unsafe to implement")]

use std::mem::MaybeUninit;

use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext};
use wasmtime::component::{ComponentType, Lower};

use super::bindings::EntryIn;

/// An entry, stored quickly where many stand together.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Entry(pub(super) EntryIn);

/// Bytes of an entry in a guest's memory: eight fields, `headers-len` followed by four bytes of padding.
const SIZE: usize = 40;

const _: () = assert!(<EntryIn as ComponentType>::SIZE32 == SIZE);

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

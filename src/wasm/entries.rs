//! The entries of a packed call on their way into a guest's memory and out of it.
//!
//! The derived way stores and loads a list of records field by field, and looks up the guest's memory for each of them:
//! that is most of what a record costs that a transform only keeps. Here a list is taken in one go, in the layout that
//! the canonical ABI gives the record; everything else is left to the derived implementation. The bytes of the records go
//! from where they lie into the guest's memory, with no buffer between.

#![expect(unsafe_code, reason = "wasmtime's traits for types that cross are unsafe to implement")]

use std::mem::MaybeUninit;

use wasmtime::ValRaw;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::bindings::{Action, EntryIn, EntryOut, RecordOut};
use super::output::Input;
use super::packed;

/// An entry, stored quickly where many stand together.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Entry(pub(super) EntryIn);

/// Keys, values and headers of a batch as one list of bytes, of `len` bytes in all.
#[derive(Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) batch: &'a [Input<'a>],
    pub(super) len: usize,
}

/// A list of answers, loaded quickly.
#[derive(Debug)]
pub(super) struct EntriesOut<E>(pub(super) Vec<E>);

/// An answer that can be loaded from its bytes in a guest's memory.
pub(super) trait Load: Lift {
    /// Reads the first bytes of `from`, as many as the canonical layout takes.
    fn load(from: &[u8]) -> wasmtime::Result<Self>;
}

/// Bytes of an entry in a guest's memory: eight fields, `headers-len` followed by four bytes of padding.
const SIZE: usize = 40;

/// Bytes of a transform's answer: `action` and the tag of `timestamp` are followed by padding.
const ANSWER_SIZE: usize = 48;
/// Bytes of a processor's record: the tag of `timestamp` and the last length are followed by padding.
const RECORD_SIZE: usize = 40;

const _: () = assert!(<EntryIn as ComponentType>::SIZE32 == SIZE);
const _: () = assert!(<EntryOut as ComponentType>::SIZE32 == ANSWER_SIZE);
const _: () = assert!(<RecordOut as ComponentType>::SIZE32 == RECORD_SIZE);

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

impl Data<'_> {
    /// Copies the batch into the guest, and gives its place there.
    fn store<T>(&self, cx: &mut LowerContext<'_, T>) -> wasmtime::Result<usize> {
        let at = cx.realloc(0, 0, 1, self.len)?;
        packed::write(self.batch, &mut cx.as_slice_mut()[at..][..self.len]);
        Ok(at)
    }
}

// SAFETY: everything is that of a list of bytes.
unsafe impl ComponentType for Data<'_> {
    type Lower = <[u8] as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <[u8] as ComponentType>::typecheck(ty, types)
    }
}

// SAFETY: as a list of bytes does it: room from the guest's `realloc`, written through a checked slice, then pointer and
// length, flat in two values, or in memory as two words.
unsafe impl Lower for Data<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        let at = self.store(cx)?;
        dst.write([ValRaw::i64(at as i64), ValRaw::i64(self.len as i64)]);
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _: InterfaceType,
        offset: usize,
    ) -> wasmtime::Result<()> {
        let at = self.store(cx)?;
        *cx.get(offset) = u32::try_from(at)?.to_le_bytes();
        *cx.get(offset + 4) = u32::try_from(self.len)?.to_le_bytes();
        Ok(())
    }
}

// SAFETY: everything is that of `Vec<E>`, whose items have a derived implementation.
unsafe impl<E: Load> ComponentType for EntriesOut<E> {
    type Lower = <Vec<E> as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <Vec<E> as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        Vec::<E>::typecheck(ty, types)
    }
}

// SAFETY: the first is that of the list. The second reads what that one would, with the same checks of bounds, alignment
// and fuel, through checked slices; tests named `…_are_read_in_the_canonical_layout` have guests write them.
unsafe impl<E: Load> Lift for EntriesOut<E> {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> wasmtime::Result<Self> {
        Vec::<E>::linear_lift_from_flat(cx, ty, src).map(Self)
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        _: InterfaceType,
        bytes: &[u8],
    ) -> wasmtime::Result<Self> {
        let (at, len) = (word(bytes, 0) as usize, word(bytes, 4) as usize);
        cx.consume_fuel_array(len, size_of::<E>())?;
        let end = len.checked_mul(E::SIZE32).and_then(|size| at.checked_add(size));
        let memory = end.and_then(|end| cx.memory().get(at..end));
        let memory = memory.ok_or_else(|| wasmtime::Error::msg("a list of answers beyond the memory"))?;
        if !at.is_multiple_of(E::ALIGN32 as usize) {
            return Err(wasmtime::Error::msg("a list of answers that is not aligned"));
        }
        memory.chunks_exact(E::SIZE32).map(E::load).collect::<wasmtime::Result<_>>().map(Self)
    }
}

impl Load for EntryOut {
    #[inline]
    fn load(from: &[u8]) -> wasmtime::Result<Self> {
        let from = whole::<ANSWER_SIZE>(from)?;
        let action = match from[4] {
            0 => Action::Keep,
            1 => Action::Emit,
            2 => Action::Reject,
            _ => return Err(wasmtime::Error::msg("an action that does not exist")),
        };
        Ok(Self {
            source: word(from, 0),
            action,
            topic: word(from, 8),
            timestamp: timestamp(from[16], word(from, 24), word(from, 28))?,
            key_len: word(from, 32).cast_signed(),
            value_len: word(from, 36).cast_signed(),
            headers_len: word(from, 40).cast_signed(),
        })
    }
}

impl Load for RecordOut {
    #[inline]
    fn load(from: &[u8]) -> wasmtime::Result<Self> {
        let from = whole::<RECORD_SIZE>(from)?;
        Ok(Self {
            source: word(from, 0).cast_signed(),
            topic: word(from, 4),
            timestamp: timestamp(from[8], word(from, 16), word(from, 20))?,
            key_len: word(from, 24).cast_signed(),
            value_len: word(from, 28).cast_signed(),
            headers_len: word(from, 32).cast_signed(),
        })
    }
}

/// So many bytes: the compiler then knows that every field lies within.
#[inline]
fn whole<const N: usize>(from: &[u8]) -> wasmtime::Result<&[u8; N]> {
    from.first_chunk().ok_or_else(|| wasmtime::Error::msg("an answer cut short"))
}

#[inline]
fn timestamp(tag: u8, low: u32, high: u32) -> wasmtime::Result<Option<i64>> {
    match tag {
        0 => Ok(None),
        1 => Ok(Some((u64::from(low) | u64::from(high) << 32).cast_signed())),
        _ => Err(wasmtime::Error::msg("an option that is neither none nor some")),
    }
}

/// The four bytes at `at`, which are there.
#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

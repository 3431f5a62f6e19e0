//! `state`: the task's keyed memory. Every function is synchronous and may read the disk; its CPU time is not the guest's.
//! A refusal of the state layer (quota, sizes, names) ends the call with a fault.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType, WasmList, WasmStr};

use super::{Host, interface};
use crate::model::limits::{SCAN_ENTRIES_MAX, STORE_NAME_MAX};
use crate::model::names;
use crate::state::{self, TaskState};
use crate::wasm::fault::{Fault, LimitKind};

/// Handles to stores that one instance may hold open: some languages open one per call and leave it to their collector.
const HANDLES_MAX: usize = 1_000;
/// Entries asked of the state layer at a time when a guest scans, so that large values do not pile up. This many of the
/// largest stay below the bytes at which the state layer cuts a page, so a short page is the last one.
const SCAN_STEP: usize = 64;

/// Keys that are read together: enough for one look at the files to serve several, few enough for large values.
const FETCH_STEP: usize = 64;

/// The host's side of the WIT resource `store`; never made, only named.
pub(super) enum Store {}

/// A task's state and the stores its code has opened.
pub(in crate::wasm) struct Stores {
    pub(in crate::wasm) state: TaskState,
    names: Vec<Option<Arc<str>>>,
}

/// The stores that code has opened, while it has no state at hand.
#[derive(Default)]
pub(in crate::wasm) struct Opened(Vec<Option<Arc<str>>>);

impl Stores {
    pub(in crate::wasm) fn new(state: TaskState, opened: Opened) -> Self {
        Self { state, names: opened.0 }
    }

    /// What is left of them without the state.
    pub(in crate::wasm) fn opened(self) -> Opened {
        Opened(self.names)
    }

    fn open(&mut self, name: &str) -> Result<u32, Fault> {
        names::check("store", name, STORE_NAME_MAX).map_err(|e| Fault::Fatal(e.to_string()))?;
        let slot = match self.names.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.names.len() < HANDLES_MAX => {
                self.names.push(None);
                self.names.len() - 1
            }
            None => {
                let detail =
                    format!("{HANDLES_MAX} stores are open at once; close them, or open each once in `open`");
                return Err(Fault::limit(LimitKind::State, detail));
            }
        };
        self.names[slot] = Some(name.into());
        Ok(u32::try_from(slot).unwrap_or(u32::MAX))
    }

    fn close(&mut self, rep: u32) {
        if let Some(name) = self.names.get_mut(rep as usize) {
            *name = None;
        }
    }

    fn name(&self, rep: u32) -> Result<Arc<str>, Fault> {
        let name = self.names.get(rep as usize).cloned().flatten();
        name.ok_or_else(|| Fault::Protocol("a store that is not open".to_owned()))
    }
}

/// A key or value in the guest's memory.
type GuestBytes = WasmList<u8>;

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut state = linker.instance(&interface("state"))?;
    state.resource("store", ResourceType::host::<Store>(), |mut ctx: StoreContextMut<'_, Host>, rep| {
        if let Some(stores) = &mut ctx.data_mut().stores {
            stores.close(rep);
        }
        Ok(())
    })?;
    state.func_wrap("[constructor]store", |mut ctx: StoreContextMut<'_, Host>, (name,): (WasmStr,)| {
        let name = name.to_str(&ctx)?.into_owned();
        let rep = with(&mut ctx, |_, stores| stores.open(&name))?;
        Ok((Resource::<Store>::new_own(rep),))
    })?;
    link_single(&mut state)?;
    link_many(&mut state)
}

fn link_single(state: &mut wasmtime::component::LinkerInstance<'_, Host>) -> wasmtime::Result<()> {
    type This = Resource<Store>;

    state.func_wrap(
        "[method]store.get",
        |mut ctx: StoreContextMut<'_, Host>, (this, key): (This, GuestBytes)| {
            let value = with(&mut ctx, |ctx, stores| {
                let name = stores.name(this.rep())?;
                stores.state.get(&name, key.as_le_slice(ctx)).map_err(refused)
            })?;
            Ok((value.map(Vec::from),))
        },
    )?;
    state.func_wrap(
        "[method]store.put",
        |mut ctx: StoreContextMut<'_, Host>, (this, key, value): (This, GuestBytes, GuestBytes)| {
            with(&mut ctx, |ctx, stores| {
                let name = stores.name(this.rep())?;
                let value = Bytes::copy_from_slice(value.as_le_slice(ctx));
                stores.state.put(&name, key.as_le_slice(ctx), value).map_err(refused)
            })
        },
    )?;
    state.func_wrap(
        "[method]store.delete",
        |mut ctx: StoreContextMut<'_, Host>, (this, key): (This, GuestBytes)| {
            with(&mut ctx, |ctx, stores| {
                let name = stores.name(this.rep())?;
                stores.state.delete(&name, key.as_le_slice(ctx)).map_err(refused)
            })
        },
    )
}

fn link_many(state: &mut wasmtime::component::LinkerInstance<'_, Host>) -> wasmtime::Result<()> {
    type This = Resource<Store>;
    type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    state.func_wrap(
        "[method]store.get-many",
        |mut ctx: StoreContextMut<'_, Host>, (this, keys): (This, Vec<Vec<u8>>)| {
            let values = with(&mut ctx, |ctx, stores| {
                let name = stores.name(this.rep())?;
                let mut room = Room::of(ctx);
                let mut values = Vec::with_capacity(keys.len());
                for some in keys.chunks(FETCH_STEP) {
                    for value in stores.state.get_many(&name, some).map_err(refused)? {
                        room.take(value.as_ref().map_or(0, Bytes::len))?;
                        values.push(value.map(Vec::from));
                    }
                }
                Ok(values)
            })?;
            Ok((values,))
        },
    )?;
    state.func_wrap(
        "[method]store.put-many",
        |mut ctx: StoreContextMut<'_, Host>, (this, entries): (This, Changes)| {
            with(&mut ctx, |_, stores| {
                let name = stores.name(this.rep())?;
                for (key, value) in entries {
                    let changed = match value {
                        Some(value) => stores.state.put(&name, &key, value.into()),
                        None => stores.state.delete(&name, &key),
                    };
                    changed.map_err(refused)?;
                }
                Ok(())
            })
        },
    )?;
    type Range = (This, GuestBytes, Option<GuestBytes>, u32);
    state.func_wrap(
        "[method]store.scan",
        |mut ctx: StoreContextMut<'_, Host>, (this, start, end, limit): Range| {
            let found = with(&mut ctx, |ctx, stores| {
                let name = stores.name(this.rep())?;
                let end = end.map(|end| end.as_le_slice(ctx));
                let limit = SCAN_ENTRIES_MAX.min(limit as usize);
                scan(&mut stores.state, &name, start.as_le_slice(ctx), end, limit, &mut Room::of(ctx))
            })?;
            Ok((found,))
        },
    )
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Scans in steps, so that what is held on the host stays near what the guest can take.
fn scan(
    state: &mut TaskState,
    name: &str,
    start: &[u8],
    end: Option<&[u8]>,
    limit: usize,
    room: &mut Room,
) -> Result<Entries, Fault> {
    let mut found: Entries = Vec::new();
    let mut from = start.to_vec();
    while found.len() < limit {
        let step = SCAN_STEP.min(limit - found.len());
        let entries = state.scan(name, &from, end, step).map_err(refused)?;
        let last = entries.len() < step;
        for (key, value) in entries {
            room.take(key.len() + value.len())?;
            found.push((Vec::from(key), Vec::from(value)));
        }
        let Some((key, _)) = found.last().filter(|_| !last) else { break };
        // The least key after the last one.
        from.clone_from(key);
        from.push(0);
    }
    Ok(found)
}

/// Bytes that an answer may still hold: more than the guest's memory cannot be handed over, so it is not gathered.
struct Room {
    left: usize,
    max: usize,
}

impl Room {
    fn of(ctx: &StoreContextMut<'_, Host>) -> Self {
        let max = ctx.data().limiter.bytes_max();
        Self { left: max, max }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            let detail = format!(
                "a state answer is larger than the memory of {} bytes; ask for less at once",
                self.max
            );
            Fault::limit(LimitKind::Memory, detail)
        })?;
        Ok(())
    }
}

/// Runs `work` on the stores with the guest's memory readable beside them, and its time taken off the guest's.
pub(super) fn with<T>(
    ctx: &mut StoreContextMut<'_, Host>,
    work: impl FnOnce(&StoreContextMut<'_, Host>, &mut Stores) -> Result<T, Fault>,
) -> wasmtime::Result<T> {
    let Some(mut stores) = ctx.data_mut().stores.take() else {
        let fault =
            Fault::Fatal("a transform has no state and no timers; deploy a processor instead".to_owned());
        return Err(ctx.data_mut().end_with(fault));
    };
    let meter = ctx.data().meter.clone();
    let done = meter.host(|| work(ctx, &mut stores));
    ctx.data_mut().stores = Some(stores);
    done.map_err(|fault| ctx.data_mut().end_with(fault))
}

pub(super) fn refused(error: state::Error) -> Fault {
    match error {
        state::Error::Read(cause) => Fault::Retry(format!("state cannot be read: {cause}")),
        state::Error::Pinned => Fault::Protocol(error.to_string()),
        state::Error::StoreName(cause) => Fault::Fatal(cause.to_string()),
        other => Fault::limit(LimitKind::State, other.to_string()),
    }
}

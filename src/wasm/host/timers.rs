//! `timers`: when a processor's code wants to be called again. They lie in the task's state.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmList};

use super::state::{refused, with};
use super::{Host, interface};
use crate::state::TimerClock;
use crate::wasm::bindings::ClockName;

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut timers = linker.instance(&interface("timers"))?;
    timers.func_wrap(
        "set",
        |mut ctx: StoreContextMut<'_, Host>, (clock, name, at): (ClockName, WasmList<u8>, i64)| {
            with(&mut ctx, |ctx, stores| {
                stores.state.set_timer(clock.into(), name.as_le_slice(ctx), at).map_err(refused)
            })
        },
    )?;
    timers.func_wrap(
        "cancel",
        |mut ctx: StoreContextMut<'_, Host>, (clock, name): (ClockName, WasmList<u8>)| {
            with(&mut ctx, |ctx, stores| {
                stores.state.cancel_timer(clock.into(), name.as_le_slice(ctx)).map_err(refused)
            })
        },
    )?;
    timers.func_wrap("now", |mut ctx: StoreContextMut<'_, Host>, (clock,): (ClockName,)| {
        Ok((with(&mut ctx, |_, stores| Ok(stores.state.present(clock.into())))?,))
    })
}

impl From<ClockName> for TimerClock {
    fn from(clock: ClockName) -> Self {
        match clock {
            ClockName::EventTime => Self::EventTime,
            ClockName::Wall => Self::Wall,
        }
    }
}

impl From<TimerClock> for ClockName {
    fn from(clock: TimerClock) -> Self {
        match clock {
            TimerClock::EventTime => Self::EventTime,
            TimerClock::Wall => Self::Wall,
        }
    }
}

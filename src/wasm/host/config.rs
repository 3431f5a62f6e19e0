//! `config`: what the deployment says to its code.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use super::{Host, interface};

pub(super) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut config = linker.instance(&interface("config"))?;
    config.func_wrap("get", |ctx: StoreContextMut<'_, Host>, (name,): (WasmStr,)| {
        let name = name.to_str(&ctx)?;
        Ok((ctx.data().config.params.get(&*name).cloned(),))
    })?;
    config.func_wrap("inputs", |ctx: StoreContextMut<'_, Host>, (): ()| {
        Ok((ctx.data().config.inputs.clone(),))
    })?;
    config.func_wrap("outputs", |ctx: StoreContextMut<'_, Host>, (): ()| {
        Ok((ctx.data().config.outputs.clone(),))
    })
}

//! Calls of `on-timer`, in the form that a processor has beside its own.

use wasmtime::component::TypedFunc;

use super::bindings::{OnTimerPackedResult, OnTimerResult, TimerIn};
use super::convert::{self, Answers};
use super::fault::Fault;
use super::instance::Live;
use super::output::Output;
use super::packed;
use crate::model::limits::TIMESTAMP_MAX;
use crate::state::Timer;

/// Hands timers over that are due. An output without a timestamp has that of the last one, as far as a log takes it.
pub(super) async fn call(live: &mut Live, due: &[Timer]) -> Result<Vec<Output>, Fault> {
    let mut outputs = match live.packs_timers() {
        Some(true) => pack(live, due).await?,
        _ => list(live, due).await?,
    };
    let last = due.last().map_or(0, |timer| timer.at).clamp(0, TIMESTAMP_MAX);
    for output in &mut outputs {
        output.timestamp.get_or_insert(last);
    }
    Ok(outputs)
}

fn lower(due: &[Timer]) -> Vec<TimerIn<'_>> {
    due.iter().map(|timer| TimerIn { clock: timer.clock.into(), name: &timer.name, at: timer.at }).collect()
}

async fn list(live: &mut Live, due: &[Timer]) -> Result<Vec<Output>, Fault> {
    let function: TypedFunc<(&'_ [TimerIn<'_>],), OnTimerResult> = live.on_timer()?;
    let timers = lower(due);
    let (answer,) = live.call(function, (&timers,)).await?;
    let outputs = answer.map_err(|error| convert::error(error, due.len()))?;
    let budget = live.budget();
    Answers { batch: &[], routes: &live.config().outputs, budget }.outputs(outputs)
}

async fn pack(live: &mut Live, due: &[Timer]) -> Result<Vec<Output>, Fault> {
    let function: TypedFunc<(&'_ [TimerIn<'_>],), OnTimerPackedResult> = live.on_timer()?;
    let timers = lower(due);
    let (answer,) = live.call(function, (&timers,)).await?;
    let answer = answer.map_err(|error| convert::error(error, due.len()))?;
    packed::outputs(answer, &[], live.routes(), &mut live.budget())
}

//! A live processor: records in, state changes and outputs out. Its state changes stay in the overlay of its
//! [`TaskState`] until the caller writes them into a commit, or forgets them together with the instance.

use std::time::Duration;

use wasmtime::component::TypedFunc;

use super::bindings::{InputIn, ProcessorResult};
use super::convert::{self, Answers, Headers};
use super::fault::Fault;
use super::instance::Live;
use super::output::{Input, Output};
use crate::state::TaskState;

/// One instance of a processor. One call at a time; calls run on the guests' threads.
pub struct Processor {
    live: Live,
    process: TypedFunc<(&'static [InputIn<'static>],), ProcessorResult>,
}

impl Processor {
    pub(super) async fn open(mut live: Live) -> Result<Self, Fault> {
        let process = live.process()?;
        live.open().await?;
        Ok(Self { live, process })
    }

    /// The outputs of a batch, in the order the code made them. An empty batch is not handed over. After an error the
    /// instance is spent, and the overlay may hold changes of the failed call: drop both.
    pub async fn process(&mut self, batch: &[Input<'_>]) -> Result<Vec<Output>, Fault> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let outputs = run(&mut self.live, self.process, batch).await;
        if outputs.is_err() {
            self.live.spend();
        }
        outputs
    }

    /// The task's state, with the changes of the calls so far.
    pub fn state(&mut self) -> &mut TaskState {
        self.live
            .state()
            .expect("a processor is made with state, which is back in place whenever no call runs")
    }

    /// Bytes of linear memory.
    pub fn memory_bytes(&self) -> usize {
        self.live.memory_bytes()
    }

    /// CPU time of all calls so far, `open` included.
    pub fn cpu_time(&self) -> Duration {
        self.live.cpu_time()
    }
}

async fn run<'a>(
    live: &mut Live,
    process: TypedFunc<(&'a [InputIn<'a>],), ProcessorResult>,
    batch: &'a [Input<'a>],
) -> Result<Vec<Output>, Fault> {
    let headers = Headers::of(batch);
    let inputs = convert::lower(batch, &headers);
    let (answer,) = live.call(process, (&inputs,)).await?;
    let outputs = answer.map_err(|error| convert::error(error, batch))?;
    let budget = live.budget();
    Answers { batch, routes: &live.config().outputs, budget }.outputs(outputs)
}

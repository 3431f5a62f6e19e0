//! A live sink: records in, requests to the outside, and a word on whether they have arrived.

use std::time::Duration;

use wasmtime::component::TypedFunc;

use super::bindings::{InputIn, SinkResult};
use super::convert::{self, Headers};
use super::fault::Fault;
use super::instance::Live;
use super::output::Input;

/// One instance of a sink. One call at a time; calls run on the guests' threads, which are free while a call waits for
/// the network.
pub struct Sink {
    live: Live,
    deliver: TypedFunc<(&'static [InputIn<'static>],), SinkResult>,
}

impl Sink {
    pub(super) async fn open(mut live: Live) -> Result<Self, Fault> {
        let deliver = live.process()?;
        live.open().await?;
        Ok(Self { live, deliver })
    }

    /// Hands a batch over; `Ok`: all of it has arrived. An empty batch is not handed over. After an error the instance is
    /// spent, and nothing is known of what arrived.
    pub async fn deliver(&mut self, batch: &[Input<'_>]) -> Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        let delivered = run(&mut self.live, self.deliver, batch).await;
        if delivered.is_err() {
            self.live.spend();
        }
        delivered
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
    deliver: TypedFunc<(&'a [InputIn<'a>],), SinkResult>,
    batch: &'a [Input<'a>],
) -> Result<(), Fault> {
    let headers = Headers::of(batch);
    let inputs = convert::lower(batch, &headers);
    let (answer,) = live.call(deliver, (&inputs,)).await?;
    answer.map_err(|error| convert::error(error, batch.len()))
}

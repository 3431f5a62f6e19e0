//! A live source: polled with a cursor, it gives records and the next cursor. It holds no state on the host's side; what it
//! has given counts once the caller has committed records and cursor together.

use std::time::Duration;

use bytes::Bytes;
use wasmtime::component::TypedFunc;

use super::bindings::{PollResult, PolledOut};
use super::convert::{self, Answers};
use super::fault::Fault;
use super::instance::Live;
use super::output::Output;
use crate::model::duration::format_bytes;
use crate::model::limits::CURSOR_BYTES_MAX;

/// What one poll brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// in the order the code made them; none has a source
    pub outputs: Vec<Output>,
    /// handed to the next poll; `None`: the cursor stays as it is
    pub cursor: Option<Bytes>,
    /// there is more at once
    pub more: bool,
}

/// One instance of a source. One call at a time; calls run on the guests' threads.
pub struct Source {
    pub(super) live: Live,
    poll: TypedFunc<(Option<&'static [u8]>,), PollResult>,
}

impl Source {
    pub(super) async fn open(mut live: Live) -> Result<Self, Fault> {
        let poll = live.process()?;
        live.open().await?;
        Ok(Self { live, poll })
    }

    /// Polls once. After an error the instance is spent: every later call answers [`Fault::Instance`].
    pub async fn poll(&mut self, cursor: Option<&[u8]>) -> Result<Polled, Fault> {
        let polled = run(&mut self.live, self.poll, cursor).await;
        if polled.is_err() {
            self.live.spend();
        }
        polled
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
    poll: TypedFunc<(Option<&'a [u8]>,), PollResult>,
    cursor: Option<&'a [u8]>,
) -> Result<Polled, Fault> {
    let (answer,) = live.call(poll, (cursor,)).await?;
    let PolledOut { outputs, cursor, more } = answer.map_err(|error| convert::error(error, 0))?;
    let budget = live.budget();
    let outputs = Answers { batch: &[], routes: &live.config().outputs, budget }.outputs(outputs)?;
    let cursor = cursor.map(Bytes::from);
    match &cursor {
        Some(cursor) if cursor.len() > CURSOR_BYTES_MAX => {
            let (found, max) = (format_bytes(cursor.len() as u64), format_bytes(CURSOR_BYTES_MAX as u64));
            Err(Fault::Protocol(format!("a cursor of {found}, at most {max} are allowed")))
        }
        _ => Ok(Polled { outputs, cursor, more }),
    }
}

//! A live instance that answers queries. It is never the one that works on records: each call gets the state of one moment,
//! which it cannot change, and between two calls it has none.

use std::time::Duration;

use wasmtime::component::TypedFunc;

use super::bindings::{QueryErrorOut, QueryResult};
use super::fault::{Fault, LimitKind};
use super::host::state::Opened;
use super::instance::Live;
use crate::model::duration::format_bytes;
use crate::state::TaskState;

/// One instance. One call at a time; calls run on the guests' threads.
pub struct Querier {
    live: Live,
    query: TypedFunc<(&'static [u8],), QueryResult>,
    opened: Opened,
}

/// What the code says to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// the answer
    Answer(Vec<u8>),
    /// it makes no sense to the code
    BadRequest(String),
    /// what it asks for is not there
    NotFound(String),
    /// the code could not answer
    Failed(String),
}

impl Querier {
    pub(super) async fn open(mut live: Live) -> Result<Self, Fault> {
        let query = live.query()?;
        live.open_query().await?;
        let opened = live.part();
        Ok(Self { live, query, opened })
    }

    /// Answers one query over this state. After an error the instance is spent.
    pub async fn query(&mut self, state: TaskState, request: &[u8]) -> Result<Reply, Fault> {
        self.live.lend(state, std::mem::take(&mut self.opened));
        let answer = self.call(request).await;
        self.opened = self.live.part();
        if answer.is_err() {
            self.live.spend();
        }
        answer
    }

    async fn call<'a>(&mut self, request: &'a [u8]) -> Result<Reply, Fault> {
        let query: TypedFunc<(&'a [u8],), QueryResult> = self.query;
        let (answer,) = self.live.call(query, (request,)).await?;
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(QueryErrorOut::BadRequest(why)) => return Ok(Reply::BadRequest(why)),
            Err(QueryErrorOut::NotFound(why)) => return Ok(Reply::NotFound(why)),
            Err(QueryErrorOut::Failed(why)) => return Ok(Reply::Failed(why)),
        };
        let max = self.live.config().limits.output.bytes;
        if bytes.len() as u64 > max {
            let detail = format!("an answer of more than {}", format_bytes(max));
            return Err(Fault::limit(LimitKind::OutputBytes, detail));
        }
        Ok(Reply::Answer(bytes))
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

//! A live processor: records in, state changes and outputs out. Its state changes stay in the overlay of its
//! [`TaskState`] until the caller writes them into a commit, or forgets them together with the instance. A transform can
//! stand in its place: then there is no state, and what it refuses is told beside the outputs.

use std::time::Duration;

use wasmtime::component::TypedFunc;

use super::bindings::{InputIn, MigrateResult, PackedIn, ProcessorPackedResult, ProcessorResult};
use super::convert::{self, Answers, Headers};
use super::fault::Fault;
use super::instance::Live;
use super::on_timer;
use super::output::{Answer, Input, Output};
use super::packed::{self, Buffer};
use super::transform::Transformer;
use crate::model::module::ModuleKind;
use crate::state::{TaskState, Timer};

/// One instance at work from topic to topic. One call at a time; calls run on the guests' threads.
pub struct Processor(Form);

enum Form {
    List(Live, TypedFunc<(&'static [InputIn<'static>],), ProcessorResult>),
    Packed(Live, TypedFunc<(PackedIn<'static>,), ProcessorPackedResult>, Buffer),
    Transform(Transformer),
}

impl Processor {
    pub(super) async fn open(mut live: Live, kind: ModuleKind) -> Result<Self, Fault> {
        if kind.is_transform() {
            return Ok(Self(Form::Transform(Transformer::open(live, kind).await?)));
        }
        let mut form = match kind {
            ModuleKind::ProcessorPacked => {
                let process = live.process()?;
                Form::Packed(live, process, Buffer::default())
            }
            _ => {
                let process = live.process()?;
                Form::List(live, process)
            }
        };
        if let Form::List(live, _) | Form::Packed(live, ..) = &mut form {
            live.open().await?;
        }
        Ok(Self(form))
    }

    /// What a batch comes to, in the order the code made it. An empty batch is not handed over. After an error the
    /// instance is spent, and the overlay may hold changes of the failed call: drop both.
    pub async fn process(&mut self, batch: &[Input<'_>]) -> Result<Answer, Fault> {
        if batch.is_empty() {
            return Ok(Answer::default());
        }
        let outputs = match &mut self.0 {
            Form::Transform(transformer) => return transformer.answer(batch).await,
            Form::List(live, process) => list(live, *process, batch).await,
            Form::Packed(live, process, buffer) => pack(live, *process, buffer, batch).await,
        };
        if outputs.is_err() {
            self.live().spend();
        }
        Ok(Answer { outputs: outputs?, rejected: Vec::new() })
    }

    /// What timers that are due come to. Nobody is called for none. After an error as [`Processor::process`].
    pub async fn on_timer(&mut self, due: &[Timer]) -> Result<Answer, Fault> {
        if due.is_empty() {
            return Ok(Answer::default());
        }
        let live = self.live();
        let outputs = on_timer::call(live, due).await;
        if outputs.is_err() {
            live.spend();
        }
        Ok(Answer { outputs: outputs?, rejected: Vec::new() })
    }

    /// One step of turning the state that `version` has made into this one's; `at` is what the step before has returned. The
    /// next step's `at`; `None`: it was the last. After an error as [`Processor::process`].
    pub async fn migrate(&mut self, version: &str, at: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault> {
        let live = self.live();
        let next = migrate(live, version, at).await;
        if next.is_err() {
            live.spend();
        }
        next
    }

    /// The task's state, with the changes of the calls so far; a transform has none.
    pub fn state(&mut self) -> Option<&mut TaskState> {
        self.live().state()
    }

    /// Bytes of linear memory.
    pub fn memory_bytes(&self) -> usize {
        match &self.0 {
            Form::List(live, _) | Form::Packed(live, ..) => live.memory_bytes(),
            Form::Transform(transformer) => transformer.memory_bytes(),
        }
    }

    /// CPU time of all calls so far, `open` included.
    pub fn cpu_time(&self) -> Duration {
        match &self.0 {
            Form::List(live, _) | Form::Packed(live, ..) => live.cpu_time(),
            Form::Transform(transformer) => transformer.cpu_time(),
        }
    }

    fn live(&mut self) -> &mut Live {
        match &mut self.0 {
            Form::List(live, _) | Form::Packed(live, ..) => live,
            Form::Transform(transformer) => &mut transformer.live,
        }
    }
}

async fn migrate<'a>(
    live: &mut Live,
    version: &'a str,
    at: Option<&'a [u8]>,
) -> Result<Option<Vec<u8>>, Fault> {
    let function: TypedFunc<(&'a str, Option<&'a [u8]>), MigrateResult> = live.migrate()?;
    let (next,) = live.call(function, (version, at)).await?;
    next.map_err(|error| convert::error(error, 0))
}

async fn list<'a>(
    live: &mut Live,
    process: TypedFunc<(&'a [InputIn<'a>],), ProcessorResult>,
    batch: &'a [Input<'a>],
) -> Result<Vec<Output>, Fault> {
    let headers = Headers::of(batch);
    let inputs = convert::lower(batch, &headers);
    let (answer,) = live.call(process, (&inputs,)).await?;
    let outputs = answer.map_err(|error| convert::error(error, batch.len()))?;
    let budget = live.budget();
    Answers { batch, routes: &live.config().outputs, budget }.outputs(outputs)
}

async fn pack<'a>(
    live: &mut Live,
    process: TypedFunc<(PackedIn<'a>,), ProcessorPackedResult>,
    buffer: &'a mut Buffer,
    batch: &'a [Input<'a>],
) -> Result<Vec<Output>, Fault> {
    let packed = buffer.pack(batch)?;
    let (answer,) = live.call(process, (packed,)).await?;
    let answer = answer.map_err(|error| convert::error(error, batch.len()))?;
    packed::outputs(answer, batch, live.routes(), &mut live.budget())
}

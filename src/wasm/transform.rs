//! A live transform, in whichever of the two forms its component has.

use std::time::Duration;

use wasmtime::component::TypedFunc;

use super::bindings::{InputIn, PackedIn, PackedOut, PackedResult, TransformResult};
use super::convert::{self, Answers, Headers};
use super::fault::Fault;
use super::instance::Live;
use super::output::{Answer, Input, Outcome};
use super::packed::{self, Buffer};
use crate::model::module::ModuleKind;

/// One instance of a transform. One call at a time; calls run on the guests' threads.
pub struct Transformer {
    pub(super) live: Live,
    form: Form,
}

enum Form {
    List(TypedFunc<(&'static [InputIn<'static>],), TransformResult>),
    Packed(TypedFunc<(PackedIn<'static>,), PackedResult>, Buffer),
}

impl Transformer {
    pub(super) async fn open(mut live: Live, kind: ModuleKind) -> Result<Self, Fault> {
        let form = match kind {
            ModuleKind::TransformPacked => Form::Packed(live.process()?, Buffer::default()),
            _ => Form::List(live.process()?),
        };
        live.open().await?;
        Ok(Self { live, form })
    }

    /// The verdicts on a batch, exactly one per input in its order. An empty batch is not handed over. After an error
    /// the instance is spent: every later call answers [`Fault::Instance`].
    pub async fn process(&mut self, batch: &[Input<'_>]) -> Result<Vec<Outcome>, Fault> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = match &mut self.form {
            Form::List(process) => list(&mut self.live, *process, batch).await,
            Form::Packed(process, buffer) => match pack(&mut self.live, *process, buffer, batch).await {
                Ok(answer) => packed::outcomes(answer, batch, self.live.routes(), &mut self.live.budget()),
                Err(fault) => Err(fault),
            },
        };
        if outcomes.is_err() {
            self.live.spend();
        }
        outcomes
    }

    /// The same verdicts as records on their way to other topics.
    pub(super) async fn answer(&mut self, batch: &[Input<'_>]) -> Result<Answer, Fault> {
        let Form::Packed(process, buffer) = &mut self.form else {
            let mut answer = Answer::default();
            for (source, outcome) in (0..).zip(self.process(batch).await?) {
                answer.add(source, outcome);
            }
            return Ok(answer);
        };
        if batch.is_empty() {
            return Ok(Answer::default());
        }
        let answer = match pack(&mut self.live, *process, buffer, batch).await {
            Ok(answer) => packed::answer(answer, batch, self.live.routes(), &mut self.live.budget()),
            Err(fault) => Err(fault),
        };
        if answer.is_err() {
            self.live.spend();
        }
        answer
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

async fn list<'a>(
    live: &mut Live,
    process: TypedFunc<(&'a [InputIn<'a>],), TransformResult>,
    batch: &'a [Input<'a>],
) -> Result<Vec<Outcome>, Fault> {
    let headers = Headers::of(batch);
    let inputs = convert::lower(batch, &headers);
    let (answer,) = live.call(process, (&inputs,)).await?;
    let outcomes = answer.map_err(|error| convert::error(error, batch.len()))?;
    let budget = live.budget();
    Answers { batch, routes: &live.config().outputs, budget }.outcomes(outcomes)
}

async fn pack<'a>(
    live: &mut Live,
    process: TypedFunc<(PackedIn<'a>,), PackedResult>,
    buffer: &'a mut Buffer,
    batch: &'a [Input<'a>],
) -> Result<PackedOut, Fault> {
    let packed = buffer.pack(batch)?;
    let (answer,) = live.call(process, (packed,)).await?;
    answer.map_err(|error| convert::error(error, batch.len()))
}

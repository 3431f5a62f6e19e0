//! A component ready to run: loaded machine code, linked to the host functions once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, InstancePre};

use super::artifact::{self, ArtifactError, Stamp};
use super::engine::Engine;
use super::host::{Host, interface};
use super::inspect::{ON_TIMER, QUERY};
use super::instance::{InstanceConfig, Live};
use super::{Fault, Processor, Querier, Sink, Source, Transformer};
use crate::model::module::ModuleKind;
use crate::model::params::Params;
use crate::state::TaskState;

/// Machine code that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// the artifact is missing, damaged or of another engine: compile again
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// the code wants what this server does not offer
    #[error("the component cannot be linked: {0}")]
    Link(String),
}

/// Cheap to clone; instances are independent of each other.
#[derive(Clone)]
pub struct Component {
    pub(super) pre: InstancePre<Host>,
    pub(super) exports: Exports,
    pub(super) engine: Engine,
    kind: ModuleKind,
    stamp: Stamp,
    /// parameters that an instance sees where its configuration gives none
    pub(super) defaults: Arc<BTreeMap<String, String>>,
}

/// Where the functions of the component's kind are.
#[derive(Clone, Copy)]
pub(super) struct Exports {
    pub(super) open: ComponentExportIndex,
    pub(super) process: ComponentExportIndex,
    /// of those that have it
    pub(super) migrate: Option<ComponentExportIndex>,
    /// of those that have it, with its `open`
    pub(super) query: Option<(ComponentExportIndex, ComponentExportIndex)>,
    /// of those that have it, and whether it is the packed form
    pub(super) on_timer: Option<(ComponentExportIndex, bool)>,
}

impl Engine {
    /// Loads an artifact that this server has compiled, of a component whose exports make it a `kind`. Blocks for
    /// reading the file once.
    pub fn load(&self, artifact: &Path, kind: ModuleKind) -> Result<Component, LoadError> {
        let (component, stamp) = artifact::load(&self.inner, artifact)?;
        let link = |e: wasmtime::Error| LoadError::Link(format!("{e:#}"));
        let pre = self.linker.instantiate_pre(&component).map_err(link)?;

        let name = interface(kind.export());
        let function = |function: &str| {
            let instance = component.get_export_index(None, &name);
            let index = instance.and_then(|instance| component.get_export_index(Some(&instance), function));
            index.ok_or_else(|| LoadError::Link(format!("it does not export `{function}` of {name}")))
        };
        let beside = |name: &str, function: &str| {
            let instance = component.get_export_index(None, interface(name));
            instance.and_then(|it| component.get_export_index(Some(&it), function))
        };
        let [packed, list] = ON_TIMER.map(|name| beside(name, "on-timer"));
        let exports = Exports {
            open: function("open")?,
            process: function(kind.function())?,
            migrate: beside("migrate", "migrate"),
            query: beside(QUERY, "open").zip(beside(QUERY, "query")),
            on_timer: packed.map(|it| (it, true)).or(list.map(|it| (it, false))),
        };
        Ok(Component { pre, exports, engine: self.clone(), kind, stamp, defaults: Arc::default() })
    }
}

impl Component {
    /// What its exports make of it.
    pub fn kind(&self) -> ModuleKind {
        self.kind
    }

    /// Is it called when timers are due?
    pub fn is_timed(&self) -> bool {
        self.exports.on_timer.is_some()
    }

    /// Does it answer queries?
    pub fn is_queried(&self) -> bool {
        self.exports.query.is_some()
    }

    /// The same, where the declared defaults stand in for parameters that are not given.
    #[must_use]
    pub fn with_params(mut self, params: Option<&Params>) -> Self {
        self.defaults = Arc::new(params.map(Params::defaults).unwrap_or_default());
        self
    }

    /// What is known of its compilation.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// A new instance of a transform, opened. Runs guest code: call it on the guests' threads.
    pub async fn transformer(&self, config: InstanceConfig) -> Result<Transformer, Fault> {
        if !self.kind.is_transform() {
            return Err(self.wrong_kind("inline"));
        }
        let live = Live::start(self, config, None).await?;
        Transformer::open(live, self.kind).await
    }

    /// A new instance at work from topic to topic, opened: a processor over its task's state, or a transform, which has
    /// none. Runs guest code: call it on the guests' threads.
    pub async fn processor(&self, config: InstanceConfig, state: TaskState) -> Result<Processor, Fault> {
        if !self.kind.is_transform() && !self.kind.is_processor() {
            return Err(self.wrong_kind("as a processor"));
        }
        let state = self.kind.is_processor().then_some(state);
        let live = Live::start(self, config, state).await?;
        Processor::open(live, self.kind).await
    }

    /// A new instance that answers queries, opened; `state` is what it may look at while it opens. Runs guest code: call it
    /// on the guests' threads.
    pub async fn querier(&self, config: InstanceConfig, state: TaskState) -> Result<Querier, Fault> {
        let live = Live::start(self, config, Some(state)).await?;
        Querier::open(live).await
    }

    /// A new instance of a sink, opened. Runs guest code: call it on the guests' threads.
    pub async fn sink(&self, config: InstanceConfig) -> Result<Sink, Fault> {
        if self.kind != ModuleKind::Sink {
            return Err(self.wrong_kind("as a sink"));
        }
        let live = Live::start(self, config, None).await?;
        Sink::open(live).await
    }

    /// A new instance of a source, opened. Runs guest code: call it on the guests' threads.
    pub async fn source(&self, config: InstanceConfig) -> Result<Source, Fault> {
        if self.kind != ModuleKind::Source {
            return Err(self.wrong_kind("as a source"));
        }
        let live = Live::start(self, config, None).await?;
        Source::open(live).await
    }

    fn wrong_kind(&self, wanted: &str) -> Fault {
        Fault::Instance(format!("the module exports `{}` and cannot run {wanted}", self.kind.export()))
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("kind", &self.kind).finish_non_exhaustive()
    }
}

//! Deployments of kind `view`: nothing of them runs by itself. They put a view in force under their name, and the readers'
//! requests run its code.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::DeployError;
use super::error::Clash;
use super::supervisor::Pipelines;
use super::view::{ErrorView, Totals};
use crate::broker::view::{Named, OnTrouble, Trouble, View, ViewOf};
use crate::broker::{TopicError, dead_letter};
use crate::model::TopicName;
use crate::model::deployment::{Deployment, DeploymentKind, DeploymentSpec, OnErrorPolicy};
use crate::wasm::{Component, Fault};

impl Pipelines {
    /// Puts the view in force, in the place of one of that name; `ready` is what was made of it before.
    pub(super) async fn show_view(
        &self,
        deployment: &Deployment,
        ready: Option<Arc<View>>,
    ) -> Option<Arc<View>> {
        let spec = &deployment.spec;
        let (name, source) = (topic_of(spec)?, spec.input.topics.first()?.clone());
        let view = match ready {
            Some(view) => view,
            None => {
                let component = self.0.shared.registry.component(deployment.digest).await;
                let component = component.map_err(|e| {
                    tracing::error!(deployment = %spec.name, error = %e, "a view's transform cannot be loaded");
                    // Not of the kind that is tried again: nothing will be different.
                    Fault::Open(e.to_string())
                });
                Arc::new(self.view_of(deployment, component)?)
            }
        };
        self.broker().set_view(Named {
            name,
            number: deployment.id,
            revision: deployment.revision,
            created_ms: deployment.created_ms,
            source,
            view: Some(view.clone()),
        });
        Some(view)
    }

    /// The view that a deployment is, of its one input topic; not yet in force.
    pub(super) fn view_of(
        &self,
        deployment: &Deployment,
        component: Result<Component, Fault>,
    ) -> Option<View> {
        let spec = &deployment.spec;
        let log = self.log(spec);
        let of = ViewOf {
            called: format!("view `{}`", spec.name),
            module: deployment.module(),
            source: spec.input.topics.first()?.clone(),
            params: spec.params.clone(),
            limits: spec.limits.clone(),
            on_trouble: match spec.on_error.policy {
                OnErrorPolicy::Skip => OnTrouble::Skip,
                OnErrorPolicy::Stop | OnErrorPolicy::DeadLetter => OnTrouble::Stop,
            },
        };
        Some(View::standing(of, component, Box::new(move |partition| log.instance(partition))))
    }

    /// Keeps the name of a new view free, or says in a dry run whether it is.
    pub(super) async fn reserve_view(&self, spec: &DeploymentSpec, dry_run: bool) -> Result<(), DeployError> {
        let (DeploymentKind::View, Some(name), Some(source)) =
            (spec.kind, topic_of(spec), spec.input.topics.first())
        else {
            return Ok(());
        };
        let free = match (dry_run, self.broker().topic_named(name.as_str())) {
            (true, Some(_)) => Err(TopicError::Exists { name, difference: None }),
            (true, None) => Ok(()),
            (false, _) => self.broker().reserve_view(&name, source).await,
        };
        free.map_err(|error| match error {
            TopicError::Exists { name, .. } => Clash::ViewName.because(format!(
                "topic `{name}` exists; a view is a topic to its readers and needs a name of its own"
            )),
            other => other.into(),
        })
    }

    /// Takes the view of a deployment that is gone out of force.
    pub(super) async fn hide_view(&self, spec: &DeploymentSpec) {
        if let (DeploymentKind::View, Some(name)) = (spec.kind, topic_of(spec)) {
            self.broker().remove_view(&name).await;
        }
    }

    /// Gives the name back that was kept free for a view that has not come.
    pub(super) fn release_view(&self, spec: &DeploymentSpec) {
        if let (DeploymentKind::View, Some(name)) = (spec.kind, topic_of(spec)) {
            self.broker().release_view(&name);
        }
    }
}

/// The topic that readers see: a checked spec's name is one.
fn topic_of(spec: &DeploymentSpec) -> Option<TopicName> {
    TopicName::parse(spec.name.as_str()).ok()
}

/// What a view did for its readers.
pub(super) fn totals(view: &View) -> Totals {
    let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let counts = &view.counters;
    Totals {
        records_in: get(&counts.records_in),
        records_out: get(&counts.records_out),
        skipped: get(&counts.skipped),
        rejected: get(&counts.rejected),
        errors: get(&counts.errors),
        ..Totals::default()
    }
}

/// The last record that a view could not show.
pub(super) fn last_error(view: &View) -> Option<ErrorView> {
    let at = view.last_trouble()?;
    let (code, backtrace) = match &at.trouble {
        Trouble::Fault(fault) => (fault.code(), dead_letter::frames(fault).to_vec()),
        Trouble::Rejected(_) => ("rejected", Vec::new()),
        Trouble::Several(_) | Trouble::Routed => ("verdict", Vec::new()),
    };
    Some(ErrorView {
        backtrace,
        topic: Some(view.of().source.clone()),
        partition: Some(at.partition),
        offset: Some(at.offset),
        ..ErrorView::new(code, at.trouble.to_string(), at.at_ms)
    })
}

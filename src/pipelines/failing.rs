//! Tasks that have failed and made no progress since, so that who listens hears of either once. It outlives the tasks: one
//! that is made anew has not recovered yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::view::ErrorView;
use crate::model::{DeploymentName, Partition};
use crate::runtime::events::{self, What};

/// The tasks; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing(Arc<Mutex<BTreeSet<(DeploymentName, Partition)>>>);

impl Failing {
    /// Is it one of them?
    pub(super) fn has(&self, deployment: &DeploymentName, task: Partition) -> bool {
        self.0.lock().contains(&(deployment.clone(), task))
    }

    /// A task stopped by its own failure.
    pub(super) fn add(&self, deployment: &DeploymentName, task: Partition, error: Option<&ErrorView>) {
        self.0.lock().insert((deployment.clone(), task));
        let mut details = vec![("partition", task.to_string())];
        if let Some(error) = error {
            details.extend([("code", error.code.clone()), ("message", error.message.clone())]);
        }
        events::publish(What::DeploymentFailed, deployment, details);
    }

    /// A task made progress.
    pub(super) fn take(&self, deployment: &DeploymentName, task: Partition) {
        if self.0.lock().remove(&(deployment.clone(), task)) {
            let details = vec![("partition", task.to_string())];
            events::publish(What::DeploymentRecovered, deployment, details);
        }
    }

    /// A deployment is gone.
    pub(super) fn forget(&self, deployment: &DeploymentName) {
        self.0.lock().retain(|(name, _)| name != deployment);
    }
}

//! What deployments do with topics: which of them they use, and which transforms run on produce.

use std::sync::Arc;

use super::Broker;
use super::catalog::Use;
use super::inline::Chain;
use crate::model::{DeploymentName, TopicName};

impl Broker {
    /// Says which topics a deployment uses, so that they are not deleted or widened under it.
    pub fn attach(&self, deployment: &DeploymentName, topics: Vec<(TopicName, Use)>) {
        self.0.catalog.uses.write().insert(deployment.clone(), topics);
    }

    /// Puts transforms in force for a topic, whether it is there or not.
    pub fn set_chain(&self, name: &TopicName, chain: Option<Chain>) {
        let catalog = &self.0.catalog;
        let mut chains = catalog.chains.write();
        match &chain {
            Some(chain) => chains.insert(name.clone(), chain.clone()),
            None => chains.remove(name),
        };
        if let Ok(topic) = catalog.find(name.as_str()) {
            topic.shared.chain.store(chain.map(Arc::new));
        }
    }

    /// The deployment uses nothing any more.
    pub fn detach(&self, deployment: &DeploymentName) {
        self.0.catalog.uses.write().remove(deployment);
    }

    /// The deployments that use a topic, in name order.
    pub fn attachments(&self, topic: &TopicName) -> Vec<DeploymentName> {
        self.0.catalog.users(topic, |_| true)
    }
}

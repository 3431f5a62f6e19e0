//! Puts transforms in force at one moment of all partitions of their topics: what stands in line before it runs through
//! the old ones, what comes after it through the new ones, and a commit says where in the logs that moment is.

use super::Broker;
use super::inline::Chain;
use crate::model::TopicName;
use crate::storage::{Commit, CommitError};

impl Broker {
    /// Waits, in line, for what came before, hands the commit to the writer and lets the chains take the places of the
    /// old ones; only then do those go on that came after. So each request runs through one chain, and in each log the
    /// records of the new one follow the place of the commit. Waits as long as the slowest call that is under way, and
    /// for the commit, which keeps nobody waiting.
    ///
    /// # Errors
    /// Those of a commit. After `Unknown` the new chains are in force, and nothing is stored any more.
    pub async fn switch_chains(
        &self,
        chains: Vec<(TopicName, Option<Chain>)>,
        commit: Commit,
    ) -> Result<(), CommitError> {
        // No partition may come into being beside those that are stood in line for.
        let _same = self.0.catalog.one_change().await;
        let topics: Vec<_> = chains.iter().filter_map(|(name, _)| self.topic(name.as_str()).ok()).collect();
        let mut in_line = self.0.line_up.take(topics.iter().map(|t| (t.lanes(), 0..t.topic.partitions)));
        // For `make crash --features torn-commit` alone: the new chains do not wait for those that stand in line.
        #[cfg(feature = "torn-commit")]
        for (name, chain) in &chains {
            self.set_chain(name, chain.clone());
        }
        for tickets in &mut in_line {
            tickets.turn().await;
        }
        let pending = self.0.storage.submit(commit).await?;
        for (name, chain) in chains {
            self.set_chain(&name, chain);
        }
        drop(in_line);
        // A commit of rows alone fails only together with the writer, and with all that is submitted after it.
        pending.receipt().await.map(drop)
    }
}

//! One member: what it said of itself, what it was assigned, and what it waits for.

use std::sync::Arc;

use bytes::Bytes;

use super::{Join, MemberId, Ticket};

/// A way to assign, and what the member tells about itself to whoever assigns in that way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// such as `range`
    pub name: Arc<str>,
    /// opaque
    pub metadata: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) session_timeout_ms: i64,
    pub(super) rebalance_timeout_ms: i64,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// its join that waits for the generation to begin
    pub(super) join: Option<Ticket>,
    /// its sync that waits for the leader's
    pub(super) sync: Option<Ticket>,
    /// it has never been answered, so it cannot send heartbeats
    pub(super) is_new: bool,
    /// when its session ends unless it gives a sign of life; `None`: ended while it waited, which counts as a sign
    pub(super) session_ends: Option<i64>,
}

impl Member {
    pub(super) fn new(id: MemberId, ticket: Ticket, join: Join) -> Self {
        Self {
            id,
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            join: Some(ticket),
            sync: None,
            is_new: true,
            session_ends: None,
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|p| *p.name == *protocol)
    }

    /// What it says with a protocol; empty if it does not know it.
    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let found = protocol.and_then(|name| self.protocols.iter().find(|p| *p.name == *name));
        found.map(|p| p.metadata.clone()).unwrap_or_default()
    }

    /// Gives a sign of life.
    pub(super) fn renew(&mut self, now_ms: i64) {
        self.session_ends = Some(now_ms.saturating_add(self.session_timeout_ms));
    }

    /// Is waiting a sign of life? A new member may be gone without anybody noticing, so its wait is none.
    pub(super) fn is_alive(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        /// The structure itself, its place in the maps, and short strings (counted by hand).
        const OVERHEAD: usize = 512;
        let protocols = self.protocols.iter().map(|p| p.name.len() + p.metadata.len() + 64).sum::<usize>();
        let names = self.id.len() + self.client_id.len() + self.client_host.len();
        OVERHEAD + names + self.instance_id.as_deref().map_or(0, str::len) + protocols + self.assignment.len()
    }
}

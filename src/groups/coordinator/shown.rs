//! How groups look from outside.

use std::sync::Arc;

use super::Groups;
use super::entry::Machine;
use crate::groups::machine::consumer::{self, Assignor};
use crate::groups::machine::{Description, State};
use crate::groups::{GroupError, GroupId};

/// Which protocol the members of a group follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// the clients assign
    Classic,
    /// the server assigns (KIP-848)
    Consumer,
}

/// A line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// its name
    pub id: GroupId,
    /// by its protocol
    pub kind: GroupKind,
    /// as Kafka's tools show it
    pub state: &'static str,
    /// empty for a group that only keeps offsets
    pub protocol_type: Arc<str>,
    /// members
    pub members: usize,
    /// the deployment whose position it shows, if it does
    pub deployment: Option<String>,
}

/// A group of the classic protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// its name
    pub id: GroupId,
    /// with its members
    pub description: Description,
    /// the deployment whose position it shows, if it does
    pub deployment: Option<String>,
}

/// A group of the consumer protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConsumers {
    /// where it stands
    pub state: consumer::State,
    /// who assigns
    pub assignor: Assignor,
    /// epochs and members
    pub group: consumer::Snapshot,
}

impl GroupKind {
    /// As Kafka's tools show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

impl Groups {
    /// All groups in the order of their names, those included that only show something.
    pub fn list(&self) -> Vec<Listed> {
        let inner = self.inner();
        let mut listed = Vec::new();
        for entry in inner.entries() {
            let group = entry.group.lock();
            let (kind, state, protocol_type) = match &group.machine {
                Machine::Classic(classic) => {
                    let protocol_type = classic.protocol_type().cloned().unwrap_or_else(|| Arc::from(""));
                    (GroupKind::Classic, classic.state().name(), protocol_type)
                }
                Machine::Consumer(consumer) => {
                    (GroupKind::Consumer, consumer.state().name(), Arc::from("consumer"))
                }
            };
            let members = group.machine.members();
            listed.push(Listed {
                id: entry.id.clone(),
                kind,
                state,
                protocol_type,
                members,
                deployment: None,
            });
        }
        for shown in inner.read_only.get().map(|groups| groups.list()).unwrap_or_default() {
            let id = GroupId::new(shown.id);
            listed.retain(|own| own.id != id);
            listed.push(Listed {
                id,
                kind: GroupKind::Classic,
                state: State::Empty.name(),
                protocol_type: Arc::from("consumer"),
                members: 0,
                deployment: Some(shown.deployment),
            });
        }
        listed.sort_by(|a, b| a.id.cmp(&b.id));
        listed
    }

    /// A group with its members.
    ///
    /// # Errors
    /// `NotFound`, `InconsistentProtocol` for a group of another protocol.
    pub fn describe(&self, id: &GroupId) -> Result<Described, GroupError> {
        let inner = self.inner();
        if let Some(shown) = inner.read_only.get().and_then(|groups| groups.find(id.as_str())) {
            let description = Description {
                state: State::Empty,
                generation: 0,
                protocol_type: Arc::from("consumer"),
                protocol: Arc::from(""),
                members: Vec::new(),
            };
            return Ok(Described { id: id.clone(), description, deployment: Some(shown.deployment) });
        }
        let entry = inner.find(id).ok_or_else(|| GroupError::NotFound { group: id.clone() })?;
        let mut group = entry.group.lock();
        let description = group.machine.classic()?.describe();
        Ok(Described { id: id.clone(), description, deployment: None })
    }

    /// How many members a group has, whatever their protocol.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn members(&self, id: &GroupId) -> Result<usize, GroupError> {
        let entry = self.inner().find(id).ok_or_else(|| GroupError::NotFound { group: id.clone() })?;
        let members = entry.group.lock().machine.members();
        Ok(members)
    }

    /// A group of the consumer protocol with its members.
    ///
    /// # Errors
    /// `NotFound`, `NotConsumer`.
    pub fn describe_consumers(&self, id: &GroupId) -> Result<DescribedConsumers, GroupError> {
        let inner = self.inner();
        let not_consumer = || GroupError::NotConsumer { group: id.clone() };
        if inner.read_only.get().is_some_and(|groups| groups.find(id.as_str()).is_some()) {
            return Err(not_consumer());
        }
        let entry = inner.find(id).ok_or_else(|| GroupError::NotFound { group: id.clone() })?;
        let group = entry.group.lock();
        let Machine::Consumer(consumer) = &group.machine else { return Err(not_consumer()) };
        let (state, assignor) = (consumer.state(), consumer.assignor());
        Ok(DescribedConsumers { state, assignor, group: consumer.snapshot() })
    }
}

//! How a group looks from outside.

use std::sync::Arc;

use bytes::Bytes;

use super::member::Member;
use super::{Classic, MemberId, State};

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// where it stands
    pub state: State,
    /// number
    pub generation: i32,
    /// empty for a group that only keeps offsets
    pub protocol_type: Arc<str>,
    /// as chosen; empty unless the group is stable
    pub protocol: Arc<str>,
    /// in the order of their ids
    pub members: Vec<MemberDescription>,
}

/// A member. Metadata and assignment are known while the group is stable, else empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// who it is
    pub id: MemberId,
    /// of a static member
    pub instance_id: Option<Arc<str>>,
    /// as it calls itself
    pub client_id: Arc<str>,
    /// where it is
    pub client_host: Arc<str>,
    /// as joined, with the chosen protocol
    pub metadata: Bytes,
    /// as the leader sent it
    pub assignment: Bytes,
}

impl Classic {
    /// How it looks now.
    pub fn describe(&self) -> Description {
        let is_stable = self.state == State::Stable;
        let protocol = self.protocol.as_ref().filter(|_| is_stable);
        let member = |m: &Member| MemberDescription {
            id: m.id.clone(),
            instance_id: m.instance_id.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            metadata: m.metadata(protocol.map(|p| &**p)),
            assignment: if is_stable { m.assignment.clone() } else { Bytes::new() },
        };
        let text = |text: Option<&Arc<str>>| text.cloned().unwrap_or_else(|| Arc::from(""));
        Description {
            state: self.state,
            generation: self.generation,
            protocol_type: text(self.protocol_type.as_ref()),
            protocol: text(protocol),
            members: self.members.values().map(member).collect(),
        }
    }
}

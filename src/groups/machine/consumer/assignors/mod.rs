//! Who gets what: the assignors of the server. Both keep what members have as far as balance allows.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use super::Assignment;
use crate::model::{Partition, TopicId};

/// A way to assign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// as even as possible over all topics
    Uniform,
    /// topic by topic, so that the same partitions of several topics meet in one member
    Range,
}

/// A member to which something can be assigned.
pub(super) struct Candidate<'a> {
    /// those that are there
    pub(super) topics: &'a BTreeSet<TopicId>,
    /// its target so far
    pub(super) current: &'a Assignment,
}

impl Assignor {
    /// All of them; the first is the default.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// By Kafka's name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// As it is stored; never reused.
    pub(in crate::groups) const fn byte(self) -> u8 {
        match self {
            Self::Uniform => 1,
            Self::Range => 2,
        }
    }

    /// As stored.
    pub(in crate::groups) fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.byte() == byte)
    }
}

/// Assigns every partition of `topics` that somebody wants, to one who wants it; in the candidates' order.
pub(super) fn assign(
    assignor: Assignor,
    candidates: &[Candidate<'_>],
    topics: &BTreeMap<TopicId, Partition>,
) -> Vec<Assignment> {
    match assignor {
        Assignor::Uniform => uniform::assign(candidates, topics),
        Assignor::Range => range::assign(candidates, topics),
    }
}

/// The candidates that want a topic, by index.
fn takers(candidates: &[Candidate<'_>], topic: TopicId) -> Vec<usize> {
    let wants = |(_, candidate): &(usize, &Candidate<'_>)| candidate.topics.contains(&topic);
    candidates.iter().enumerate().filter(wants).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests;

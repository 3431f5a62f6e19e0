//! The target assignment: which topics there are for which members, and what each member shall own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::assignors::{Candidate, assign};
use super::{Consumer, Member, Topics};
use crate::model::{Partition, TopicId};

impl Consumer {
    /// Looks at the topics. If members subscribe to something else, or the topics that they subscribe to have changed,
    /// there has to be a new target.
    pub(super) fn see(&mut self, is_other: bool, topics: &Arc<Topics>) {
        let is_news = topics.revision() > self.topics.revision();
        if is_news {
            self.topics = topics.clone();
            self.patterns.resolve(topics);
        }
        if is_other || is_news {
            let members = &self.members;
            self.patterns.retain(|pattern| members.values().any(|m| m.pattern.as_deref() == Some(pattern)));
            let subscribed = self.subscriptions();
            if is_other || subscribed != self.subscribed {
                self.subscribed = subscribed;
                self.bump();
            }
        }
    }

    /// Makes the target for the group epoch.
    pub(super) fn make_target(&mut self) {
        // Somebody may have left since: what nobody subscribes to any more is not to be assigned.
        self.subscribed = self.subscriptions();
        let wanted: Vec<BTreeSet<TopicId>> = self.members.values().map(|m| self.topics_of(m)).collect();
        let candidates: Vec<_> = self
            .members
            .values()
            .zip(&wanted)
            .map(|(member, topics)| Candidate { topics, current: &member.target })
            .collect();
        let targets = assign(self.assignor(), &candidates, &self.subscribed);
        for (member, target) in self.members.values_mut().zip(targets) {
            member.target = target;
        }
        self.target_epoch = self.epoch;
        self.changes += 1;
    }

    fn topics_of(&self, member: &Member) -> BTreeSet<TopicId> {
        self.found(member).map(|(topic, _)| topic).collect()
    }

    /// The topics of all members that are there, with their partitions.
    fn subscriptions(&self) -> BTreeMap<TopicId, Partition> {
        self.members.values().flat_map(|member| self.found(member)).collect()
    }

    fn found(&self, member: &Member) -> impl Iterator<Item = (TopicId, Partition)> {
        let by_name = member.topics.iter().filter_map(|name| self.topics.find(name));
        let matched = self.patterns.topics(member.pattern.as_deref());
        by_name.chain(matched.filter_map(|name| self.topics.find(name.as_str())))
    }
}

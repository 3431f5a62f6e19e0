//! `range`: each topic by itself. Every taker of a topic gets as many partitions as every other, or one more; it keeps its
//! lowest ones, and what is free goes to the takers in their order. Topics with the same takers and as many partitions are
//! assigned alike, so that their partitions of one number meet in one member.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, takers};
use crate::groups::machine::consumer::Assignment;
use crate::model::{Partition, TopicId};

pub(super) fn assign(candidates: &[Candidate<'_>], topics: &BTreeMap<TopicId, Partition>) -> Vec<Assignment> {
    let mut assigned = vec![Assignment::default(); candidates.len()];
    for (topic, partitions) in topics {
        let takers = takers(candidates, *topic);
        if !takers.is_empty() {
            assign_topic(candidates, *topic, *partitions, &takers, &mut assigned);
        }
    }
    assigned
}

fn assign_topic(
    candidates: &[Candidate<'_>],
    topic: TopicId,
    partitions: Partition,
    takers: &[usize],
    assigned: &mut [Assignment],
) {
    let each = partitions as usize / takers.len();
    let mut extras = partitions as usize % takers.len();
    let mut free: BTreeSet<Partition> = (0..partitions).collect();
    let mut open = Vec::new();
    for taker in takers {
        let of_topic = candidates[*taker].current.topics().find(|(id, _)| *id == topic);
        // A partition that two have, or that is not there, is nobody's.
        let has = of_topic.into_iter().flat_map(|(_, list)| list).filter(|p| free.contains(p));
        let mut keeps: Vec<_> = has.copied().take(each + usize::from(extras > 0)).collect();
        if keeps.len() > each {
            extras -= 1;
        } else {
            open.push((*taker, each - keeps.len()));
        }
        for partition in keeps.drain(..) {
            free.remove(&partition);
            assigned[*taker].insert(topic, partition);
        }
    }
    for (taker, mut missing) in open {
        if extras > 0 {
            extras -= 1;
            missing += 1;
        }
        for _ in 0..missing {
            if let Some(partition) = free.pop_first() {
                assigned[taker].insert(topic, partition);
            }
        }
    }
}

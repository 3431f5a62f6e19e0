//! `uniform`: everybody gets as much as everybody else, or one more, as far as subscriptions allow. Members keep what they
//! have; what is free goes to whoever has least; only then, where two still differ by more than one, partitions move.
//!
//! Topics with the same takers are one *pool*: with one subscription for all, which is the usual case, there is one pool,
//! and balance is reached in one pass.

use std::collections::{BTreeMap, BTreeSet};

use super::{Candidate, takers};
use crate::groups::machine::consumer::Assignment;
use crate::model::{Partition, TopicId};

/// Passes over the pools. Each move makes the loads more even, so passes end by themselves; the bound (a guess) is for
/// subscriptions that overlap in long chains.
const PASSES_MAX: usize = 64;

/// Topics that have the same takers.
struct Pool {
    takers: Vec<usize>,
    topics: BTreeSet<TopicId>,
}

pub(super) fn assign(candidates: &[Candidate<'_>], topics: &BTreeMap<TopicId, Partition>) -> Vec<Assignment> {
    let mut assigned = kept(candidates, topics);
    let mut loads: Vec<usize> = assigned.iter().map(Assignment::len).collect();
    let mut taken: BTreeSet<_> = assigned.iter().flat_map(Assignment::iter).collect();
    let pools = pools(candidates, topics);
    for pool in &pools {
        let mut order: BTreeSet<_> = pool.takers.iter().map(|taker| (loads[*taker], *taker)).collect();
        for topic in &pool.topics {
            for partition in 0..topics[topic] {
                if taken.insert((*topic, partition))
                    && let Some((load, taker)) = order.pop_first()
                {
                    assigned[taker].insert(*topic, partition);
                    loads[taker] += 1;
                    order.insert((load + 1, taker));
                }
            }
        }
    }
    for _ in 0..PASSES_MAX {
        let moved = pools.iter().filter(|pool| balance(pool, &mut assigned, &mut loads)).count();
        // A pool that is balanced stays so as long as no other one moves something.
        if moved == 0 || pools.len() == 1 {
            break;
        }
    }
    assigned
}

/// What the candidates have and may keep.
fn kept(candidates: &[Candidate<'_>], topics: &BTreeMap<TopicId, Partition>) -> Vec<Assignment> {
    let mut taken = BTreeSet::new();
    let mut keep = |candidate: &Candidate<'_>| {
        let may = |(topic, partition): &(TopicId, Partition)| {
            let is_there = topics.get(topic).is_some_and(|partitions| partition < partitions);
            is_there && candidate.topics.contains(topic)
        };
        candidate.current.iter().filter(may).filter(|at| taken.insert(*at)).collect()
    };
    candidates.iter().map(&mut keep).collect()
}

/// The pools, those with the fewest takers first: they have the least choice.
fn pools(candidates: &[Candidate<'_>], topics: &BTreeMap<TopicId, Partition>) -> Vec<Pool> {
    let mut by_takers: BTreeMap<Vec<usize>, BTreeSet<TopicId>> = BTreeMap::new();
    for topic in topics.keys() {
        by_takers.entry(takers(candidates, *topic)).or_default().insert(*topic);
    }
    let mut pools: Vec<_> = by_takers
        .into_iter()
        .filter(|(takers, _)| !takers.is_empty())
        .map(|(takers, topics)| Pool { takers, topics })
        .collect();
    pools.sort_by_key(|pool| pool.takers.len());
    pools
}

/// Moves partitions of a pool from those who have most to those who have least. True: it did.
fn balance(pool: &Pool, assigned: &mut [Assignment], loads: &mut [usize]) -> bool {
    let of_pool = |taker: usize, assigned: &[Assignment]| -> Vec<(TopicId, Partition)> {
        assigned[taker].iter().filter(|(topic, _)| pool.topics.contains(topic)).collect()
    };
    let mut stock: BTreeMap<usize, Vec<(TopicId, Partition)>> =
        pool.takers.iter().map(|taker| (*taker, of_pool(*taker, assigned))).collect();
    let mut givers: BTreeSet<_> =
        stock.iter().filter(|(_, has)| !has.is_empty()).map(|(taker, _)| (loads[*taker], *taker)).collect();
    let mut takers: BTreeSet<_> = pool.takers.iter().map(|taker| (loads[*taker], *taker)).collect();
    let mut has_moved = false;
    while let (Some(&(most, giver)), Some(&(least, taker))) = (givers.last(), takers.first())
        && most > least + 1
    {
        let Some((topic, partition)) = stock.get_mut(&giver).and_then(Vec::pop) else { break };
        assigned[giver].remove(topic, partition);
        assigned[taker].insert(topic, partition);
        stock.entry(taker).or_default().push((topic, partition));
        for (who, before, after) in [(giver, most, most - 1), (taker, least, least + 1)] {
            givers.remove(&(before, who));
            takers.remove(&(before, who));
            takers.insert((after, who));
            loads[who] = after;
            if stock.get(&who).is_some_and(|has| !has.is_empty()) {
                givers.insert((after, who));
            }
        }
        has_moved = true;
    }
    has_moved
}

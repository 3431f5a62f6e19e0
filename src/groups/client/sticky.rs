//! Kafka's `CooperativeStickyAssignor` (KIP-429): everybody keeps what it has, as far as that is fair. What goes from one
//! member to another is given to nobody at first: its owner sees that it is to give it up, does so, and joins again; the
//! next assignment gives it away.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Candidate, Partitions};
use crate::model::Partition;

type At<'a> = (&'a Arc<str>, Partition);

/// One share a candidate, in their order. Loads differ by more than one only where subscriptions leave no choice.
pub(super) fn assign(candidates: &[Candidate], counts: &BTreeMap<Arc<str>, u32>) -> Vec<Partitions> {
    let owners = owners(candidates, counts);
    let mut readers: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        for topic in candidate.subscription.topics.iter().filter(|topic| counts.contains_key(*topic)) {
            let list = readers.entry(topic).or_default();
            if list.last() != Some(&index) {
                list.push(index);
            }
        }
    }
    let mut held: Vec<BTreeSet<At<'_>>> = vec![BTreeSet::new(); candidates.len()];
    let mut free: Vec<At<'_>> = Vec::new();
    for (topic, count) in counts {
        for partition in 0..*count {
            match owners.get(&(topic, partition)) {
                Some(Some(owner)) => drop(held[*owner].insert((topic, partition))),
                _ => free.push((topic, partition)),
            }
        }
    }
    for at in free {
        let least = readers.get(at.0).and_then(|list| list.iter().min_by_key(|i| (held[**i].len(), **i)));
        if let Some(least) = least {
            held[*least].insert(at);
        }
    }
    balance(&mut held, &readers);

    let share = |(index, held): (usize, BTreeSet<At<'_>>)| {
        let mut share = Partitions::new();
        // Whatever somebody else has not given up yet waits for the next assignment.
        let is_ready = |at: &At<'_>| owners.get(at).is_none_or(|owner| *owner == Some(index));
        for (topic, partition) in held.into_iter().filter(is_ready) {
            share.entry(topic.clone()).or_default().insert(partition);
        }
        share
    };
    held.into_iter().enumerate().map(share).collect()
}

/// Who has which partition. Of two who claim one, the later generation is right; of the same generation neither can be
/// believed, and `None` says that it is not free either.
fn owners<'a>(
    candidates: &'a [Candidate],
    counts: &BTreeMap<Arc<str>, u32>,
) -> HashMap<At<'a>, Option<usize>> {
    let mut owners: HashMap<At<'a>, (i32, Option<usize>)> = HashMap::new();
    for (index, Candidate { subscription, .. }) in candidates.iter().enumerate() {
        for (topic, list) in &subscription.owned {
            let count = counts.get(topic).copied().unwrap_or(0);
            if !subscription.topics.contains(topic) {
                continue;
            }
            for partition in list.iter().filter(|partition| **partition < count) {
                let claim = (subscription.generation, Some(index));
                let known = owners.entry((topic, *partition)).or_insert(claim);
                match known.0.cmp(&claim.0) {
                    std::cmp::Ordering::Less => *known = claim,
                    std::cmp::Ordering::Equal if known.1 != claim.1 => known.1 = None,
                    _ => {}
                }
            }
        }
    }
    owners.into_iter().map(|(at, (_, owner))| (at, owner)).collect()
}

/// Moves partitions from those who have most to those who have least, as long as that makes the loads more alike.
fn balance<'a>(held: &mut [BTreeSet<At<'a>>], readers: &BTreeMap<&'a Arc<str>, Vec<usize>>) {
    loop {
        let mut order: Vec<usize> = (0..held.len()).collect();
        order.sort_by_key(|i| (Reverse(held[*i].len()), *i));
        let step = order.iter().find_map(|from| {
            let topics: BTreeSet<&Arc<str>> = held[*from].iter().map(|(topic, _)| *topic).collect();
            topics.into_iter().find_map(|topic| {
                let to = readers.get(topic)?.iter().min_by_key(|i| (held[**i].len(), **i))?;
                let at = held[*from].iter().rfind(|(name, _)| *name == topic)?;
                (held[*to].len() + 1 < held[*from].len()).then_some((*from, *to, *at))
            })
        });
        let Some((from, to, at)) = step else { return };
        held[from].remove(&at);
        held[to].insert(at);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{candidate, counts, partitions};
    use super::*;

    #[test]
    fn what_moves_is_given_up_before_it_is_given_away() {
        let counts = counts(&[("a", 4)]);
        let first = candidate("m-1", &["a"], &[("a", &[0, 1, 2, 3])]);
        let second = candidate("m-2", &["a"], &[]);
        let shares = assign(&[first, second.clone()], &counts);
        assert_eq!(shares, [partitions(&[("a", &[0, 1])]), Partitions::new()]);

        let gave_up = candidate("m-1", &["a"], &[("a", &[0, 1])]);
        let shares = assign(&[gave_up, second], &counts);
        assert_eq!(shares, [partitions(&[("a", &[0, 1])]), partitions(&[("a", &[2, 3])])]);
    }

    #[test]
    fn who_left_leaves_to_those_with_least() {
        let counts = counts(&[("a", 3), ("b", 2)]);
        let all = [
            candidate("m-1", &["a", "b"], &[("a", &[0]), ("b", &[0])]),
            candidate("m-2", &["a"], &[("a", &[1])]),
        ];
        let shares = assign(&all, &counts);
        let expected = [partitions(&[("a", &[0]), ("b", &[0, 1])]), partitions(&[("a", &[1, 2])])];
        assert_eq!(shares, expected);
    }

    #[test]
    fn a_later_generation_is_believed_and_of_equals_nobody() {
        let counts = counts(&[("a", 2)]);
        let mut late = candidate("m-2", &["a"], &[("a", &[0])]);
        late.subscription.generation = 2;
        let shares = assign(&[candidate("m-1", &["a"], &[("a", &[0, 1])]), late], &counts);
        assert_eq!(shares, [partitions(&[("a", &[1])]), partitions(&[("a", &[0])])]);

        let twice = |id| candidate(id, &["a"], &[("a", &[0])]);
        let shares = assign(&[twice("m-1"), twice("m-2")], &counts);
        assert_eq!(shares.iter().map(|s| s.get("a").map_or(0, BTreeSet::len)).sum::<usize>(), 1);
        assert!(shares.iter().all(|share| !share.get("a").is_some_and(|list| list.contains(&0))));
    }

    #[test]
    fn what_is_not_subscribed_any_more_is_free_and_unknown_topics_are_nobodys() {
        let all = [
            candidate("m-1", &["b"], &[("a", &[0]), ("b", &[5])]),
            candidate("m-2", &["a", "a", "gone"], &[]),
        ];
        let shares = assign(&all, &counts(&[("a", 1), ("b", 1)]));
        assert_eq!(shares, [partitions(&[("b", &[0])]), partitions(&[("a", &[0])])]);
    }
}

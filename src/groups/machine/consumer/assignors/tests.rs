//! Both assignors: by example, and what holds for any subscriptions.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;

fn topic(number: u128) -> TopicId {
    TopicId(uuid::Uuid::from_u128(number))
}

/// Partitions of topics by their numbers.
fn topics(list: &[(u128, Partition)]) -> BTreeMap<TopicId, Partition> {
    list.iter().map(|(number, partitions)| (topic(*number), *partitions)).collect()
}

fn run(
    assignor: Assignor,
    wanted: &[BTreeSet<TopicId>],
    before: &[Assignment],
    topics: &BTreeMap<TopicId, Partition>,
) -> Vec<Assignment> {
    let candidate = |(topics, current)| Candidate { topics, current };
    let candidates: Vec<_> = wanted.iter().zip(before).map(candidate).collect();
    assign(assignor, &candidates, topics)
}

/// Members that all want everything, and had nothing.
fn fresh(assignor: Assignor, members: usize, topics: &BTreeMap<TopicId, Partition>) -> Vec<Assignment> {
    let wanted = vec![topics.keys().copied().collect(); members];
    run(assignor, &wanted, &vec![Assignment::default(); members], topics)
}

/// What a member has of a topic.
fn of(assignment: &Assignment, number: u128) -> Vec<Partition> {
    assignment.iter().filter(|(id, _)| *id == topic(number)).map(|(_, partition)| partition).collect()
}

fn lengths(assigned: &[Assignment]) -> Vec<usize> {
    assigned.iter().map(Assignment::len).collect()
}

#[test]
fn range_gives_the_same_numbers_of_topics_alike_to_one_member() {
    let assigned = fresh(Assignor::Range, 2, &topics(&[(1, 3), (2, 3)]));
    assert_eq!((of(&assigned[0], 1), of(&assigned[0], 2)), (vec![0, 1], vec![0, 1]));
    assert_eq!((of(&assigned[1], 1), of(&assigned[1], 2)), (vec![2], vec![2]));
}

#[test]
fn range_leaves_those_without_that_come_after_the_last_partition() {
    assert_eq!(lengths(&fresh(Assignor::Range, 3, &topics(&[(1, 2), (2, 2)]))), [2, 2, 0]);
}

#[test]
fn uniform_is_even_over_all_topics() {
    assert_eq!(lengths(&fresh(Assignor::Uniform, 3, &topics(&[(1, 2), (2, 2)]))), [2, 1, 1]);
}

#[test]
fn who_comes_gets_its_share_and_the_others_keep_theirs() {
    for assignor in Assignor::ALL {
        let topics = topics(&[(1, 6)]);
        let two = fresh(assignor, 2, &topics);
        let wanted = vec![topics.keys().copied().collect(); 3];
        let before = [two[0].clone(), two[1].clone(), Assignment::default()];
        let three = run(assignor, &wanted, &before, &topics);
        assert_eq!(lengths(&three), [2, 2, 2], "{assignor:?}");
        assert!(three[0].is_subset(&two[0]) && three[1].is_subset(&two[1]), "{assignor:?}");
    }
}

#[test]
fn uniform_moves_what_only_some_want_out_of_the_way() {
    // The first has everything of topic 2 already when topic 1, which only it wants, comes.
    let topics = topics(&[(1, 2), (2, 4)]);
    let wanted = [BTreeSet::from([topic(1), topic(2)]), BTreeSet::from([topic(2)])];
    let before = [(0..4).map(|p| (topic(2), p)).collect(), Assignment::default()];
    let assigned = run(Assignor::Uniform, &wanted, &before, &topics);
    assert_eq!(lengths(&assigned), [3, 3]);
    assert_eq!(of(&assigned[0], 1), [0, 1]);
}

proptest! {
    #[test]
    fn every_partition_that_somebody_wants_is_assigned_once_to_one_who_wants_it(
        partitions in btree_map(0..6u128, 0..8u32, 0..6),
        wanted in vec(btree_set(0..6u128, 0..6), 1..8),
        before in vec((0..8usize, 0..7u128, 0..9u32), 0..40),
        assignor in proptest::sample::select(&Assignor::ALL[..]),
    ) {
        let topics: BTreeMap<_, _> = partitions.into_iter().map(|(number, count)| (topic(number), count)).collect();
        // Members subscribe to topics that are there.
        let wanted: Vec<BTreeSet<_>> = wanted
            .iter()
            .map(|set| set.iter().map(|n| topic(*n)).filter(|t| topics.contains_key(t)).collect())
            .collect();
        let mut had = vec![Assignment::default(); wanted.len()];
        for (member, number, partition) in before {
            if let Some(assignment) = had.get_mut(member) {
                assignment.insert(topic(number), partition);
            }
        }
        let assigned = run(assignor, &wanted, &had, &topics);
        let mut all = BTreeSet::new();
        for (assignment, wanted) in assigned.iter().zip(&wanted) {
            for (topic, partition) in assignment.iter() {
                prop_assert!(wanted.contains(&topic) && partition < topics[&topic]);
                prop_assert!(all.insert((topic, partition)), "two have it");
            }
        }
        let is_wanted = |topic: &TopicId| wanted.iter().any(|set| set.contains(topic));
        let expected: u32 = topics.iter().filter(|(topic, _)| is_wanted(topic)).map(|(_, count)| *count).sum();
        prop_assert_eq!(all.len(), expected as usize);

        // What has been assigned stays as it is.
        prop_assert_eq!(&run(assignor, &wanted, &assigned, &topics), &assigned);

        for topic in topics.keys() {
            let loads = |measure: &dyn Fn(&Assignment) -> usize| {
                let takers = assigned.iter().zip(&wanted).filter(|(_, wanted)| wanted.contains(topic));
                let loads: Vec<_> = takers.map(|(assignment, _)| measure(assignment)).collect();
                loads.iter().max().unwrap_or(&0) - loads.iter().min().unwrap_or(&0)
            };
            match assignor {
                Assignor::Range => {
                    let of_topic = |a: &Assignment| a.iter().filter(|(id, _)| id == topic).count();
                    prop_assert!(loads(&of_topic) <= 1);
                }
                Assignor::Uniform if wanted.iter().all(|set| *set == wanted[0]) => {
                    prop_assert!(loads(&Assignment::len) <= 1);
                }
                Assignor::Uniform => {
                    // Nobody has two more than another who could have one of them.
                    for (has, _) in assigned.iter().zip(&wanted).filter(|(a, _)| a.iter().any(|(t, _)| t == *topic)) {
                        for (other, _) in assigned.iter().zip(&wanted).filter(|(_, w)| w.contains(topic)) {
                            prop_assert!(has.len() <= other.len() + 1);
                        }
                    }
                }
            }
        }
    }
}

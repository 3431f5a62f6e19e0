//! Kafka's `RangeAssignor`: of each topic its readers get as many partitions in a row, the first ones one more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Candidate, Partitions};

/// One share a candidate, in their order.
pub(super) fn assign(candidates: &[Candidate], counts: &BTreeMap<Arc<str>, u32>) -> Vec<Partitions> {
    let mut shares = vec![Partitions::new(); candidates.len()];
    for (topic, count) in counts {
        let reads = |c: &Candidate| c.subscription.topics.contains(topic);
        let readers: Vec<usize> = (0..candidates.len()).filter(|i| reads(&candidates[*i])).collect();
        let of = u32::try_from(readers.len()).unwrap_or(u32::MAX).max(1);
        let (each, more) = (count / of, count % of);
        let mut next = 0;
        for (place, reader) in (0..).zip(readers) {
            let end = next + each + u32::from(place < more);
            if next < end {
                shares[reader].insert(topic.clone(), (next..end).collect());
            }
            next = end;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::super::tests::{candidate, counts, partitions};
    use super::*;

    #[test]
    fn each_topic_is_cut_by_itself() {
        let all = [
            candidate("m-1", &["a", "b"], &[]),
            candidate("m-2", &["a"], &[]),
            candidate("m-3", &["a", "b"], &[]),
        ];
        let shares = assign(&all, &counts(&[("a", 5), ("b", 1)]));
        let expected = [
            partitions(&[("a", &[0, 1]), ("b", &[0])]),
            partitions(&[("a", &[2, 3])]),
            partitions(&[("a", &[4])]),
        ];
        assert_eq!(shares, expected);
        assert_eq!(assign(&all[1..2], &counts(&[("b", 3)])), [Partitions::new()]);
    }
}

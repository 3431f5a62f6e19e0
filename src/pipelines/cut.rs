//! How records are handed over, by tasks and by their rehearsals: in runs, which are cut until the record that fails stands
//! alone. Pure.

use std::ops::Range;

use crate::model::limits::BATCH_BYTES_MAX;
use crate::wasm::{Fault, Input};

/// How many of the first inputs make one call: at most `records`, and at most [`BATCH_BYTES_MAX`] but one at least.
pub fn run_length(inputs: &[Input<'_>], records: usize) -> usize {
    let mut bytes = 0;
    let fits = |input: &&Input<'_>| {
        bytes += input.size();
        bytes <= BATCH_BYTES_MAX
    };
    inputs.iter().take(records).take_while(fits).count().max(1).min(inputs.len())
}

/// How many of the first inputs, which may be of several partitions, make one call: those of the first one's.
pub fn first_run(inputs: &[Input<'_>], records: usize) -> usize {
    let place = |input: &Input<'_>| (input.topic, input.partition);
    let same = inputs.iter().take_while(|input| place(input) == place(&inputs[0])).count();
    run_length(&inputs[..same], records)
}

/// The one of a part that a fault is about, if that is known.
pub fn to_blame(fault: &Fault, part: &Range<usize>) -> Option<usize> {
    let alone = (part.len() == 1).then_some(part.start);
    match fault {
        Fault::At { index, .. } => Some(part.start + *index as usize).filter(|i| part.contains(i)).or(alone),
        fault if fault.is_of_no_record() => None,
        _ => alone,
    }
}

/// What a part of several that has failed is tried in next: what stands before the one to blame, that one, and what stands
/// behind it, or two halves. For a stack: the first comes last.
pub fn cut(part: &Range<usize>, bad: Option<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let (before, behind) = match bad {
        Some(bad) => (bad, bad + 1),
        None => (part.start + part.len() / 2, part.start + part.len() / 2),
    };
    let parts = [behind..part.end, before..behind, part.start..before];
    parts.into_iter().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_around_the_one_to_blame_or_in_the_middle() {
        let cut = |bad| cut(&(2..6), bad).collect::<Vec<_>>();
        assert_eq!(cut(None), [4..6, 2..4]);
        assert_eq!(cut(Some(2)), [3..6, 2..3]);
        assert_eq!(cut(Some(4)), [5..6, 4..5, 2..4]);
        assert_eq!(cut(Some(5)), [5..6, 2..5]);
    }

    #[test]
    fn one_is_to_blame_that_is_named_or_stands_alone() {
        let at = |index| Fault::At { index, reason: String::new() };
        assert_eq!(to_blame(&at(1), &(2..6)), Some(3));
        assert_eq!((to_blame(&at(4), &(2..6)), to_blame(&at(4), &(2..3))), (None, Some(2)));
        let fatal = Fault::Fatal(String::new());
        assert_eq!((to_blame(&fatal, &(2..6)), to_blame(&fatal, &(2..3))), (None, Some(2)));
        assert_eq!(to_blame(&Fault::Open(String::new()), &(2..3)), None);
    }
}

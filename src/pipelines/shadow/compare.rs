//! What two versions made of the same records, side by side.

use std::time::Duration;

use parking_lot::Mutex;

use crate::model::{Offset, Partition, Record, TimestampMs, TopicName};
use crate::pipelines::dry_run::{Entry, Report, Sample, Verdict};
use crate::state::Changed;

/// Differences that are shown, and bytes of their records together (guesses: enough to see what it is about).
const SAMPLES_MAX: usize = 20;
const SAMPLES_BYTES_MAX: usize = 1 << 20;

/// What a version made of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// `None`: unknown
    pub verdict: Option<Verdict>,
    /// what would be stored, in order
    pub outputs: Vec<Made>,
}

/// A record that would be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// name of the route; `None`: the default output
    pub route: Option<String>,
    /// the record
    pub record: Record,
    /// set by the code rather than taken from the source
    pub timestamp: Option<TimestampMs>,
}

/// A record of which the two made different things.
#[derive(Debug, Clone)]
pub struct Difference {
    /// its topic
    pub topic: TopicName,
    /// its partition
    pub partition: Partition,
    /// its offset; inline, its number in its batch
    pub offset: Offset,
    /// by the version that runs
    pub expected: Told,
    /// by the candidate
    pub found: Told,
    /// the outputs name no record as their source and are those of the whole batch that ends with this one
    pub of_batch: bool,
}

/// What a version has used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// of all calls
    pub cpu: Duration,
    /// the records of these calls
    pub records: u64,
    /// records on which it failed
    pub faults: u64,
    /// linear memory, the largest of its instances
    pub memory_bytes: usize,
}

/// The results of a shadow run so far.
#[derive(Debug, Clone, Default)]
pub struct Results {
    /// of which the same came
    pub equal: u64,
    /// of which something else came
    pub different: u64,
    /// for which there was no time, or which were deleted before they were read
    pub not_compared: u64,
    /// the first differences
    pub samples: Vec<Difference>,
    /// entries of the state that differ at the end: `before` is that of the version that runs
    pub state: Vec<Changed>,
    /// more of the state differs
    pub more_state: bool,
    /// the version that runs; unknown inline
    pub current: Used,
    /// the other one
    pub candidate: Used,
    sample_bytes: usize,
}

/// Where all tasks of a shadow run put their results.
#[derive(Debug, Default)]
pub(super) struct Board(pub(super) Mutex<Results>);

impl Board {
    /// Compares what came of a batch, record by record.
    pub(super) fn compare(&self, topic: &TopicName, samples: &[Sample], expected: Report, found: Report) {
        let results = &mut *self.0.lock();
        results.current.add(&expected);
        results.candidate.add(&found);
        let (expected, loose) = told(expected);
        let (found, loose_found) = told(found);
        let loose_differ = loose != loose_found;
        let last = samples.len().saturating_sub(1);
        for (index, ((expected, found), sample)) in expected.into_iter().zip(found).zip(samples).enumerate() {
            let differ = !same(&expected, &found);
            if !differ && (!loose_differ || index != last) {
                results.equal += 1;
                continue;
            }
            results.different += 1;
            if differ {
                results.keep(Difference::of(topic, sample, expected, found, false));
            }
        }
        if let Some(sample) = samples.last().filter(|_| loose_differ) {
            let batch = |outputs| Told { verdict: Some(Verdict::Processed), outputs };
            results.keep(Difference::of(topic, sample, batch(loose), batch(loose_found), true));
        }
    }

    pub(super) fn not_compared(&self, records: u64) {
        self.0.lock().not_compared += records;
    }
}

impl Results {
    /// Records that were compared.
    pub fn compared(&self) -> u64 {
        self.equal + self.different
    }

    fn keep(&mut self, difference: Difference) {
        let size = |told: &Told| told.outputs.iter().map(|made| made.record.size()).sum::<usize>();
        let bytes = size(&difference.expected) + size(&difference.found);
        if self.samples.len() < SAMPLES_MAX && self.sample_bytes + bytes <= SAMPLES_BYTES_MAX {
            self.sample_bytes += bytes;
            self.samples.push(difference);
        }
    }
}

impl Difference {
    fn of(topic: &TopicName, sample: &Sample, expected: Told, found: Told, of_batch: bool) -> Self {
        let (topic, partition, offset) = (topic.clone(), sample.partition, sample.offset);
        Self { topic, partition, offset, expected, found, of_batch }
    }
}

impl Used {
    fn add(&mut self, report: &Report) {
        let failed = |verdict: &&Option<Verdict>| matches!(verdict, Some(Verdict::Fault(_)));
        self.cpu += report.cpu;
        self.records += report.verdicts.len() as u64;
        self.faults += report.verdicts.iter().filter(failed).count() as u64;
        self.memory_bytes = self.memory_bytes.max(report.memory_bytes);
    }
}

/// By record, and what names none.
fn told(report: Report) -> (Vec<Told>, Vec<Made>) {
    let mut by_record: Vec<_> =
        report.verdicts.into_iter().map(|verdict| Told { verdict, outputs: Vec::new() }).collect();
    let mut loose = Vec::new();
    for entry in report.entries {
        if let Entry::Stored { source, route, record, timestamp } = entry {
            let made = Made { route, record, timestamp };
            match source.and_then(|index| by_record.get_mut(index)) {
                Some(told) => told.outputs.push(made),
                None => loose.push(made),
            }
        }
    }
    (by_record, loose)
}

/// The same is stored, and the same becomes of the record. To keep a record and to emit it as it is comes to the same; of
/// two failures only the kind counts, for their words name lines of code.
fn same(a: &Told, b: &Told) -> bool {
    use Verdict::{Emit, Fault, Keep};
    let verdicts = match (&a.verdict, &b.verdict) {
        (Some(Keep | Emit), Some(Keep | Emit)) => true,
        (Some(Fault(a)), Some(Fault(b))) => a.code() == b.code(),
        (a, b) => a == b,
    };
    verdicts && a.outputs == b.outputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::Fault;

    fn sample(offset: Offset) -> Sample {
        Sample { topic: 0, partition: 0, offset, record: Record::default() }
    }

    fn stored(source: Option<usize>, value: &'static str) -> Entry {
        let record = Record { value: Some(value.into()), ..Record::default() };
        Entry::Stored { source, route: None, record, timestamp: None }
    }

    fn report(verdicts: &[Verdict], entries: Vec<Entry>) -> Report {
        Report { verdicts: verdicts.iter().cloned().map(Some).collect(), entries, ..Report::default() }
    }

    fn compared(expected: Report, found: Report) -> Results {
        let board = Board::default();
        board.compare(&TopicName::parse("t").unwrap(), &[sample(7), sample(8)], expected, found);
        board.0.into_inner()
    }

    #[test]
    fn a_record_differs_by_its_outputs_or_its_verdict() {
        let one = || report(&[Verdict::Emit, Verdict::Drop], vec![stored(Some(0), "a")]);
        assert_eq!(compared(one(), one()).equal, 2);
        let kept = report(&[Verdict::Keep, Verdict::Drop], vec![stored(Some(0), "a")]);
        assert_eq!(compared(one(), kept).equal, 2, "what is stored is the same");

        let other = report(&[Verdict::Emit, Verdict::Reject("no".into())], vec![stored(Some(0), "b")]);
        let results = compared(one(), other);
        assert_eq!((results.equal, results.different), (0, 2));
        let offsets: Vec<_> = results.samples.iter().map(|d| d.offset).collect();
        assert_eq!(offsets, [7, 8]);
    }

    #[test]
    fn failures_of_one_kind_are_equal_and_counted() {
        let failed = |words: &str| {
            let fault = Verdict::Fault(Fault::Fatal(words.to_owned()));
            report(&[Verdict::Processed, fault], Vec::new())
        };
        let results = compared(failed("line 3"), failed("line 4"));
        assert_eq!((results.equal, results.current.faults, results.candidate.faults), (2, 1, 1));
    }

    #[test]
    fn outputs_without_a_source_are_compared_as_a_batch() {
        let one = |value| report(&[Verdict::Processed, Verdict::Processed], vec![stored(None, value)]);
        let results = compared(one("a"), one("b"));
        assert_eq!((results.equal, results.different, results.samples.len()), (1, 1, 1));
        assert!(results.samples[0].of_batch);
    }
}

//! What committed readers do not see: markers, and the records of aborted transactions.

use crate::model::Offset;
use crate::model::batch::{BatchHeader, RecordBatch};
use crate::storage::AbortedTxn;

/// Batches of one partition without those that are not for a reader.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visible {
    /// in offset order
    pub(crate) batches: Vec<RecordBatch>,
    /// where the next read begins; there may be nothing for this reader before it
    pub(crate) next: Offset,
}

impl Visible {
    /// Leaves out what is not for readers. `from`: where the read began.
    pub(in crate::broker) fn of(batches: Vec<RecordBatch>, aborted: &[AbortedTxn], from: Offset) -> Self {
        let next = batches.last().map_or(from, |batch| batch.header().next_offset()).max(from);
        let visible = |batch: &RecordBatch| is_visible(batch.header(), aborted);
        Self { batches: batches.into_iter().filter(visible).collect(), next }
    }
}

fn is_visible(header: &BatchHeader, aborted: &[AbortedTxn]) -> bool {
    let is_aborted = |txn: &AbortedTxn| {
        txn.producer_id == header.producer_id
            && (txn.first_offset..txn.last_offset).contains(&header.base_offset)
    };
    let is_lost = header.transactional && aborted.iter().any(is_aborted);
    !header.control && !is_lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::{BatchBuilder, Codec, ProducerStamp, place};

    fn batch(producer_id: i64, base: Offset, transactional: bool) -> RecordBatch {
        let mut builder = BatchBuilder::new();
        builder.producer(ProducerStamp { id: producer_id, epoch: 0, base_sequence: 0, transactional });
        builder.push(0, None, Some(b"v"), []);
        let mut bytes = builder.finish(Codec::None).unwrap().bytes().to_vec();
        place(&mut bytes, base).unwrap();
        RecordBatch::trusted(bytes.into()).unwrap()
    }

    #[test]
    fn a_producers_records_are_left_out_only_between_begin_and_abort() {
        let aborted = [AbortedTxn { producer_id: 1, first_offset: 2, last_offset: 5 }];
        let bases = |batches: Vec<RecordBatch>| {
            let committed = Visible::of(batches, &aborted, 1);
            (committed.batches.iter().map(|b| b.header().base_offset).collect::<Vec<_>>(), committed.next)
        };
        let batches = vec![
            batch(1, 1, true),
            batch(1, 2, true),
            batch(2, 3, true),
            batch(1, 4, false),
            batch(1, 6, true),
        ];
        assert_eq!(bases(batches), (vec![1, 3, 4, 6], 7));
        assert_eq!(
            bases(vec![batch(1, 2, true)]),
            (vec![], 3),
            "nothing to see, and yet there is a next one"
        );
        assert_eq!(bases(Vec::new()), (vec![], 1));
    }
}

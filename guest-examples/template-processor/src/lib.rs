//! Counts the records of each key; every record leads to the new count.

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Record, processor};

struct Counter {
    /// key → count as decimal text, so that a query shows it as a JSON number
    counts: Store,
}

processor!(Counter);

impl Processor for Counter {
    /// Once per instance, before the first batch.
    fn open() -> Result<Self, String> {
        Ok(Self { counts: Store::open("counts") })
    }

    /// State and outputs of a batch are one commit with the position: each record counts once, whatever happens.
    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let mut outputs = Vec::new();
        for record in batch {
            let Some(key) = record.key() else { continue };
            let stored = self.counts.get(key).unwrap_or_default();
            let count = str::from_utf8(&stored).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1;
            self.counts.put(key, count.to_string());
            outputs.push(Output::new().source(record.index()).value(count.to_string()));
        }
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{keyed, process, store};

    use super::*;

    #[test]
    fn every_key_has_its_count() {
        let mut counter = Counter::open().unwrap();
        let outputs = process(&mut counter, &[keyed("a", "x"), keyed("b", "y"), keyed("a", "z")]).unwrap();
        assert_eq!(outputs.last(), Some(&Output::new().source(2).value("2")));
        assert_eq!(store("counts")[b"b".as_slice()], b"1");
    }
}

//! Counts the records of each key; every record leads to the new count. Whoever asks is told the count of a key.

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Query, QueryError, Record, processor, query};

struct Counter {
    /// key → count as decimal text, so that a query shows it as a JSON number
    counts: Store,
}

processor!(Counter);
query!(Counter);

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

/// Asked in instances of its own, also while records are processed: each question sees the state of one moment.
impl Query for Counter {
    fn open() -> Result<Self, String> {
        <Self as Processor>::open()
    }

    fn query(&mut self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        self.counts.get(request).ok_or_else(|| QueryError::NotFound("this key was never seen".into()))
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{keyed, process, query, store};

    use super::*;

    #[test]
    fn every_key_has_its_count() {
        let mut counter = <Counter as Processor>::open().unwrap();
        let outputs = process(&mut counter, &[keyed("a", "x"), keyed("b", "y"), keyed("a", "z")]).unwrap();
        assert_eq!(outputs.last(), Some(&Output::new().source(2).value("2")));
        assert_eq!(store("counts")[b"b".as_slice()], b"1");
        let mut asked = <Counter as Query>::open().unwrap();
        assert_eq!(query(&mut asked, b"a"), Ok(b"2".to_vec()));
        assert!(matches!(query(&mut asked, b"c"), Err(QueryError::NotFound(_))));
    }
}

//! Counts records by key; the store `counts` holds decimal text. For tests of migration: `number-counter` is its next version.

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Input, ListProcessor, Output, processor};

struct TextCounter {
    counts: Store,
}

processor!(TextCounter, list);

impl ListProcessor for TextCounter {
    fn open() -> Result<Self, String> {
        Ok(Self { counts: Store::open("counts") })
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        for input in batch {
            let key = input.key.as_deref().unwrap_or_default();
            let stored = self.counts.get(key).unwrap_or_else(|| b"0".to_vec());
            let count = std::str::from_utf8(&stored).ok().and_then(|text| text.parse::<u64>().ok());
            let count = count.ok_or_else(|| Fault::Fatal("the store `counts` holds no text".into()))?;
            self.counts.put(key, (count + 1).to_string());
        }
        Ok(Vec::new())
    }
}

//! Puts a stamp, and how many records of the partition came before, in front of each value. The stamp stands in the code as in
//! `stamp`. For tests of upgrades: a record that is processed twice, or not at all, is seen in the counts.

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Input, ListProcessor, Output, processor};

/// What to look for in the module.
static STAMP: [u8; 16] = *b"STAMP-0000000000";

struct StampCounter {
    seen: Store,
}

processor!(StampCounter, list);

impl ListProcessor for StampCounter {
    fn open() -> Result<Self, String> {
        Ok(Self { seen: Store::open("seen") })
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        // The compiler may not know what stands there, for it may be something else.
        let stamp = String::from_utf8_lossy(core::hint::black_box(&STAMP)).into_owned();
        let stored = self.seen.get("n").and_then(|n| n.try_into().ok());
        let mut seen = stored.map_or(0, u64::from_le_bytes);
        let mut outputs = Vec::with_capacity(batch.len());
        for (index, input) in batch.iter().enumerate() {
            let value = format!("{stamp}:{}:{seen}", input.offset);
            outputs.push(Output::new().source(index).value(value));
            seen += 1;
        }
        self.seen.put("n", seen.to_le_bytes());
        Ok(outputs)
    }
}

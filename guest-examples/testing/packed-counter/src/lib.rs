//! Counts records by key in the packed form; the store `counts` holds eight bytes, little endian. Migrates what `text-counter`
//! has counted, all of it in one step. For tests of the world `migrating-packed-processor`.

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Migrate, Output, Processor, Record, processor};

/// Keys of one step: more than a test has.
const STEP: u32 = 1_000;

struct PackedCounter {
    counts: Store,
}

processor!(PackedCounter, migrate);

impl Processor for PackedCounter {
    fn open() -> Result<Self, String> {
        Ok(Self { counts: Store::open("counts") })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        for record in batch {
            let key = record.key().unwrap_or_default();
            let stored = self.counts.get(key).map(<[u8; 8]>::try_from).transpose();
            let count = stored.map_err(|_| Fault::Fatal("a count is not migrated".into()))?;
            self.counts.put(key, (count.map_or(0, u64::from_le_bytes) + 1).to_le_bytes());
        }
        Ok(Vec::new())
    }
}

impl Migrate for PackedCounter {
    fn migrate(_: &str, _: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault> {
        let counts = Store::open("counts");
        for (key, text) in counts.scan(b"", None, STEP) {
            let count = std::str::from_utf8(&text).ok().and_then(|text| text.parse::<u64>().ok());
            let count = count.ok_or_else(|| Fault::Fatal("a count is migrated twice".into()))?;
            counts.put(key, count.to_le_bytes());
        }
        Ok(None)
    }
}

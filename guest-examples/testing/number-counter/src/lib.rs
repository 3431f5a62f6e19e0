//! Counts records by key; the store `counts` holds eight bytes, little endian. Migrates what `text-counter` has counted, two
//! keys a step. For tests of migration: with the parameter `stumble` a step fails at that key, and a key that is
//! migrated twice is a fault.

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Input, ListProcessor, Migrate, Output, config, processor};

/// Keys of one step.
const STEP: u32 = 2;

struct NumberCounter {
    counts: Store,
}

processor!(NumberCounter, list, migrate);

impl ListProcessor for NumberCounter {
    fn open() -> Result<Self, String> {
        if config::get("refuse").is_some() {
            return Err("told to refuse".into());
        }
        Ok(Self { counts: Store::open("counts") })
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        for input in batch {
            let key = input.key.as_deref().unwrap_or_default();
            let count = match self.counts.get(key) {
                None => 0,
                Some(stored) => {
                    let bytes = stored.try_into();
                    u64::from_le_bytes(bytes.map_err(|_| Fault::Fatal("a count is not migrated".into()))?)
                }
            };
            self.counts.put(key, (count + 1).to_le_bytes());
        }
        Ok(Vec::new())
    }
}

impl Migrate for NumberCounter {
    fn migrate(version: &str, at: Option<&[u8]>) -> Result<Option<Vec<u8>>, Fault> {
        if !version.starts_with("1.") {
            return Err(Fault::Fatal(format!("state of version {version} is not known")));
        }
        let counts = Store::open("counts");
        let entries = counts.scan(at.unwrap_or_default(), None, STEP);
        let stumble = config::get("stumble");
        for (key, text) in &entries {
            if stumble.as_deref().is_some_and(|at| at.as_bytes() == &key[..]) {
                return Err(Fault::Fatal(format!("stumbled at {}", String::from_utf8_lossy(key))));
            }
            let count = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
            let count = count.ok_or_else(|| Fault::Fatal("a count is migrated twice".into()))?;
            counts.put(key, count.to_le_bytes());
        }
        // The least key after the last one.
        let last = entries.last().filter(|_| entries.len() == STEP as usize);
        Ok(last.map(|(key, _)| [key.as_slice(), &[0]].concat()))
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{keyed, store};

    use super::*;

    #[test]
    fn steps_turn_every_text_into_a_number_once() {
        let counts = Store::open("counts");
        for (key, count) in [("a", "1"), ("b", "22"), ("c", "333")] {
            counts.put(key, count);
        }
        let at = NumberCounter::migrate("1.0.0", None).expect("a step");
        assert_eq!(at.as_deref(), Some(&b"b\0"[..]));
        assert_eq!(NumberCounter::migrate("1.0.0", at.as_deref()), Ok(None));
        NumberCounter::open().expect("opens").process(&[keyed("c", "")]).expect("no fault");
        assert_eq!(store("counts")[b"c".as_slice()], 334u64.to_le_bytes());
        assert_eq!(store("counts")[b"a".as_slice()], 1u64.to_le_bytes());
    }
}

//! Counts records and sums the JSON field `amount` per key. The store `totals` and the outputs say the same, so that
//! whoever reads both can tell whether a record was counted twice or not at all.

use std::collections::HashMap;

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Record, processor};
use serde::Deserialize;

/// Bytes of a key of state; the server's limit.
const KEY_BYTES_MAX: usize = 4096;

struct CountByKey {
    /// record key → `{"count":n,"sum":n}`
    totals: Store,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Total {
    count: u64,
    sum: f64,
}

/// The part of a value that counts.
#[derive(Deserialize)]
struct Amount {
    amount: f64,
}

processor!(CountByKey);

impl Processor for CountByKey {
    fn open() -> Result<Self, String> {
        Ok(Self { totals: Store::open("totals") })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        for (index, input) in batch.iter().enumerate() {
            if key(input).len() > KEY_BYTES_MAX {
                return Err(Fault::at(index, format!("the key is longer than {KEY_BYTES_MAX} bytes")));
            }
        }
        let mut keys: Vec<&[u8]> = batch.iter().map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut totals: HashMap<&[u8], Total> = HashMap::with_capacity(keys.len());
        for (&key, stored) in keys.iter().zip(self.totals.get_many(&keys)) {
            totals.insert(key, stored.map_or(Ok(Total::default()), |row| total(key, &row))?);
        }

        let mut outputs = Vec::with_capacity(batch.len());
        for (index, input) in batch.iter().enumerate() {
            let total = totals.entry(key(input)).or_default();
            total.count += 1;
            total.sum += amount(input);
            let Total { count, sum } = total;
            let value = format!(r#"{{"count":{count},"sum":{sum},"seq":{}}}"#, input.offset());
            outputs.push(Output::new().source(index).value(value));
        }
        let row = |key: &[u8]| {
            let Total { count, sum } = totals[key];
            format!(r#"{{"count":{count},"sum":{sum}}}"#)
        };
        let changes: Vec<_> = keys.iter().map(|&key| (key, Some(row(key)))).collect();
        self.totals.put_many(&changes);
        Ok(outputs)
    }
}

/// Records without a key count together.
fn key<'a>(input: &Record<'a>) -> &'a [u8] {
    input.key().unwrap_or(b"(null)")
}

/// 0 where the value is no JSON object or has no number there.
fn amount(input: &Record<'_>) -> f64 {
    let value = input.value().unwrap_or_default();
    serde_json::from_slice::<Amount>(value).map_or(0.0, |found| found.amount)
}

fn total(key: &[u8], row: &[u8]) -> Result<Total, Fault> {
    serde_json::from_slice(row).map_err(|why| {
        let key = String::from_utf8_lossy(key);
        Fault::Fatal(format!("store `totals`: the row of `{key}` is not readable: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use millstream_sdk::Input;
    use millstream_sdk::testing::{keyed, process, state_calls, store};

    use super::*;

    #[test]
    fn totals_and_outputs_say_the_same() {
        let mut counter = CountByKey::open().expect("opens");
        let at = |offset: u64, input: Input| Input { offset, ..input };
        let batch = [
            at(5, keyed("a", r#"{"amount":2,"x":[]}"#)),
            at(6, keyed("b", r#"{"amount":-0.5}"#)),
            at(7, keyed("a", "no JSON")),
            at(8, keyed("a", r#"{"amount":40}"#)),
        ];
        let outputs = process(&mut counter, &batch).expect("no fault");
        let values = [
            r#"{"count":1,"sum":2,"seq":5}"#,
            r#"{"count":1,"sum":-0.5,"seq":6}"#,
            r#"{"count":2,"sum":2,"seq":7}"#,
            r#"{"count":3,"sum":42,"seq":8}"#,
        ];
        let expected: Vec<_> =
            values.iter().enumerate().map(|(i, &v)| Output::new().source(i).value(v)).collect();
        assert_eq!(outputs, expected);
        assert_eq!(store("totals")[b"a".as_slice()], br#"{"count":3,"sum":42}"#);
        assert_eq!(state_calls(), 2);

        // A second instance goes on where the state stands.
        let outputs = process(&mut CountByKey::open().expect("opens"), &batch[..1]).expect("no fault");
        assert_eq!(outputs[0], Output::new().source(0).value(r#"{"count":4,"sum":44,"seq":5}"#));
    }

    #[test]
    fn a_key_that_state_cannot_hold_is_a_fault_of_its_record() {
        let batch = [keyed("a", ""), keyed("k".repeat(4097), "")];
        let fault = process(&mut CountByKey::open().expect("opens"), &batch);
        assert_eq!(fault, Err(Fault::At(1, "the key is longer than 4096 bytes".into())));
    }
}

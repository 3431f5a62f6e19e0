//! Passes records on until one whose value contains the word `misbehave`: then it answers with more than the
//! limits allow: one value of 20 MiB (limit 16 MiB), or with the key `records` 100,001 outputs (limit 100,000).
//! For tests of the server; each poisoned record is to be isolated, every other passed on.

use millstream_sdk::{Fault, Input, ListProcessor, Output, processor};

/// Above the default of `limits.output.bytes`, within the default memory.
const VALUE_BYTES: usize = 20 << 20;
/// Above the default of `limits.output.records`.
const RECORDS: usize = 100_001;

struct OversizedOutput;

processor!(OversizedOutput, list);

impl ListProcessor for OversizedOutput {
    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        let mut outputs = Vec::new();
        for (index, input) in batch.iter().enumerate() {
            let output = Output::new().source(index);
            match (is_poisoned(input), input.key.as_deref()) {
                (false, _) => outputs.push(output),
                (true, Some(b"records")) => outputs.extend((0..RECORDS).map(|_| output.clone())),
                (true, _) => outputs.push(output.value(vec![b'x'; VALUE_BYTES])),
            }
        }
        Ok(outputs)
    }
}

fn is_poisoned(input: &Input) -> bool {
    let value = input.value.as_deref().unwrap_or_default();
    value.windows(b"misbehave".len()).any(|word| word == b"misbehave")
}

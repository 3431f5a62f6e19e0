//! Passes records on until one whose value contains the word `misbehave`; what it does then its parameter `how` says:
//! `stack-bomb` recurses without end, `log-flood` writes ten thousand lines, `huge-state` fills its store, `bad-text` names
//! a topic with bytes that are no text. `slow-start` never gets through `open`. For tests of the server.

use std::hint::black_box;

use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Input, ListProcessor, Output, config, log, processor};

/// Lines that are written for one record.
const LINES: u32 = 10_000;
/// Bytes of each value that fills the store.
const VALUE_BYTES: usize = 512 << 10;

struct Unruly {
    how: String,
    store: Store,
}

processor!(Unruly, list);

impl ListProcessor for Unruly {
    fn open() -> Result<Self, String> {
        let how = config::get("how").unwrap_or_default();
        if how == "slow-start" {
            endless();
        }
        Ok(Self { how, store: Store::open("filled") })
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        let outputs = batch.iter().enumerate().map(|(index, input)| {
            let output = Output::new().source(index);
            if is_poisoned(input) { self.misbehave(output) } else { output }
        });
        Ok(outputs.collect())
    }
}

impl Unruly {
    fn misbehave(&self, output: Output) -> Output {
        match self.how.as_str() {
            "stack-bomb" => output.timestamp(recurse(1)),
            "log-flood" => {
                for line in 0..LINES {
                    log::info!("line {line} of a flood");
                }
                output
            }
            "huge-state" => {
                for key in 0u32.. {
                    self.store.put(&key.to_be_bytes(), &vec![0; VALUE_BYTES]);
                }
                output
            }
            "bad-text" => output.topic(no_text()),
            other => panic!("`{other}` is no way to misbehave"),
        }
    }
}

fn is_poisoned(input: &Input) -> bool {
    let value = input.value.as_deref().unwrap_or_default();
    value.windows(b"misbehave".len()).any(|word| word == b"misbehave")
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(depth: i64) -> i64 {
    let here = [depth; 16];
    black_box(&here)[0] + recurse(black_box(depth + 1))
}

fn endless() {
    let mut n = 0u64;
    loop {
        n = black_box(n).wrapping_add(1);
    }
}

#[expect(unsafe_code, reason = "a string that is none, as a careless guest in C would make it")]
fn no_text() -> String {
    // SAFETY: none; it is handed to the server at once, and nothing here looks at it.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, b'b']) }
}

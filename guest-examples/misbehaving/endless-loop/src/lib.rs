//! Passes records on until one whose value contains the word `misbehave`: then it never returns.
//! For tests of the server; each poisoned record is to be isolated, every other passed on.

use std::hint::black_box;

use millstream_sdk::{Fault, Input, ListProcessor, Output, processor};

struct EndlessLoop;

processor!(EndlessLoop, list);

impl ListProcessor for EndlessLoop {
    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    fn process(&mut self, batch: &[Input]) -> Result<Vec<Output>, Fault> {
        if batch.iter().any(is_poisoned) {
            spin();
        }
        Ok((0..batch.len()).map(|index| Output::new().source(index)).collect())
    }
}

fn is_poisoned(input: &Input) -> bool {
    let value = input.value.as_deref().unwrap_or_default();
    value.windows(b"misbehave".len()).any(|word| word == b"misbehave")
}

/// Work that no compiler can prove useless.
fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
